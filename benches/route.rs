//! How fast the gateway decides where a request goes: `cargo bench --bench route`.

#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "what fails here is a failed run; bytes become megabytes"
)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use uuid::Uuid;

use ironic_proxy::api::collection::Collection;
use ironic_proxy::api::microversion::Microversion;
use ironic_proxy::api::microversion::Requested;
use ironic_proxy::api::microversion::VersionRange;
use ironic_proxy::api::query::Query;
use ironic_proxy::api::route::TABLE;
use ironic_proxy::api::route::Target;
use ironic_proxy::api::route::path::Path;
use ironic_proxy::api::route::table::Row;
use ironic_proxy::api::rules::Rule;
use ironic_proxy::auth::access::Gate;
use ironic_proxy::auth::identity::Identity;
use ironic_proxy::config::DirectoryConfig;
use ironic_proxy::config::PolicyConfig;
use ironic_proxy::config::PolicyFiles;
use ironic_proxy::config::ProjectScoped;
use ironic_proxy::keystone::message::Validated;
use ironic_proxy::locate::directory::Asked;
use ironic_proxy::locate::directory::Directory;
use ironic_proxy::locate::directory::Key;
use ironic_proxy::locate::directory::Place;
use ironic_proxy::locate::directory::Sighting;
use ironic_proxy::policy::caller::Caller;
use ironic_proxy::policy::caller::Project;
use ironic_proxy::policy::caller::Scope;
use ironic_proxy::policy::in_force::Policy;
use ironic_proxy::policy::targets;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Nodes in the directory.
const NODES: u32 = 1_000_000;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = requests, policy, directory
}
criterion_main!(benches);

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(1));
    let latest = Microversion::new(1, 115);
    for (name, method, path) in [
        (
            "show",
            Method::GET,
            "/v1/nodes/1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
        ),
        ("list", Method::GET, "/v1/nodes/detail"),
        (
            "deep",
            Method::PUT,
            "/v1/nodes/1be26c0b-03f2-4d2e-ae87-c02d7f33c123/states/provision",
        ),
        ("encoded", Method::GET, "/v1/nodes/rack%201%2e5"),
        ("unknown", Method::GET, "/v1/nodes/n/no/such/path"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let path = Path::read(black_box(path)).ok()?;
                Target::read(black_box(&method), path, Query::default(), latest).ok()
            });
        });
    }
    group.bench_function("query", |bencher| {
        let raw = "fields=uuid,name,provision_state&limit=1000&sort_key=name&driver=redfish";
        bencher.iter(|| Query::parse(black_box(Some(raw))));
    });
    let range = VersionRange::new(Microversion::new(1, 1), Microversion::new(1, 115));
    let range = range.expect("not empty");
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "bm.example.com"),
        ("user-agent", "openstacksdk/4.0"),
        ("accept", "application/json"),
        ("x-auth-token", "gAAAAAB"),
        ("x-openstack-ironic-api-version", "1.90"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    group.bench_function("version", |bencher| {
        bencher.iter(|| range.resolve(Requested::from_headers(black_box(&headers))));
    });
    group.finish();
}

/// What the rules in force say: the limit is 0.3 µs.
fn policy(criterion: &mut Criterion) {
    let config = PolicyConfig {
        files: PolicyFiles::default(),
        project_scoped_access: ProjectScoped::Policy,
        elevated_project: None,
        own_nodes: true,
        tell_location: true,
    };
    let policy = Arc::new(Policy::load(&config).expect("Ironic's own rules"));
    let gate = Gate::new(&config, Arc::clone(&policy));
    let admin = Identity::Keystone(Arc::new(Validated {
        user_id: "u".to_owned(),
        user_name: "admin".to_owned(),
        user_domain_id: Some("default".to_owned()),
        project: None,
        domain_id: None,
        system: true,
        is_admin_project: true,
        roles: ["admin", "manager", "member", "reader"]
            .map(str::to_owned)
            .into(),
        expires_at: SystemTime::now(),
    }));
    let row = |method, template| {
        let of_route = |row: &&Row| row.template == template && row.method == method;
        TABLE.iter().find(of_route)
    };
    let mut group = criterion.benchmark_group("policy");
    group.throughput(Throughput::Elements(1));
    for (name, row) in [
        ("show of an administrator", row("GET", "nodes/{}")),
        ("list of an administrator", row("GET", "nodes/detail")),
    ] {
        assert!(row.is_some(), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| gate.check(black_box(&admin), row).is_ok());
        });
    }
    let rules = policy.in_force();
    let roles = ["member", "reader"].map(str::to_owned);
    let caller = Caller {
        roles: &roles,
        user_id: "u",
        user_domain_id: Some("default"),
        scope: Scope::Project(Project {
            id: "0123456789abcdef0123456789abcdef",
            name: "prod",
            domain_id: Some("default"),
        }),
        is_admin_project: true,
        is_public_api: false,
    };
    for (name, lessee) in [
        (
            "a node of a project's own",
            Some("0123456789abcdef0123456789abcdef"),
        ),
        ("a node of another project", None),
    ] {
        let node = targets::Target::Node {
            owner: Some("fedcba9876543210fedcba9876543210"),
            lessee,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| rules.judge(Rule::NodeGet, black_box(&caller), &node));
        });
    }
    group.finish();
}

fn directory(criterion: &mut Criterion) {
    let config = DirectoryConfig {
        max_entries: 2 * NODES as usize,
        name_lifetime: Duration::from_hours(1),
        sweep_interval: None,
    };
    let now = Instant::now();
    let before = resident();
    let directory = Directory::new(&config);
    for node in 0..NODES {
        let location = Place(u16::try_from(node % 100).expect("below 100"));
        let (uuid, name) = (uuid(node), format!("node-{node:07}"));
        let sighting = Sighting {
            uuid: Some(&uuid),
            name: Some(&name),
            location,
            asked: Asked::All,
        };
        directory.learn(Collection::Nodes, sighting, now);
    }
    let grown = resident().saturating_sub(before);
    println!(
        "directory: {} entries of {NODES} nodes, by UUID and by name: {:.0} MB (limit 120 MB)",
        directory.len(),
        grown as f64 / 1e6
    );
    let mut group = criterion.benchmark_group("directory");
    group.throughput(Throughput::Elements(1));
    let mut texts: Vec<(String, String)> = (0..NODES)
        .step_by(17)
        .map(|node| (uuid(node), format!("node-{node:07}")))
        .collect();
    fastrand::Rng::with_seed(1).shuffle(&mut texts);
    let mut turn = texts.iter().cycle();
    let mut next = || turn.next().expect("it goes round");
    // From the text of a path to the location; the limit is 1 µs.
    group.bench_function("by UUID", |bencher| {
        bencher.iter(|| directory.hint(&Key::new(Collection::Nodes, &next().0), now));
    });
    group.bench_function("by name", |bencher| {
        bencher.iter(|| directory.hint(&Key::new(Collection::Nodes, &next().1), now));
    });
    group.bench_function("learn what is known", |bencher| {
        bencher.iter(|| {
            let (uuid, name) = next();
            let sighting = Sighting {
                uuid: Some(uuid),
                name: Some(name),
                location: Place(1),
                asked: Asked::All,
            };
            directory.learn(Collection::Nodes, sighting, now)
        });
    });
    group.finish();
}

fn uuid(node: u32) -> String {
    let high = u128::from(node.wrapping_mul(2_654_435_761)) << 96;
    Uuid::from_u128(high | 0x4000_8000_0000_0000_0000 | u128::from(node)).to_string()
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}
