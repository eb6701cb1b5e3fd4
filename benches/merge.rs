//! How fast lists are split, merged and written: `cargo bench --bench merge`.
//!
//! Bytes per second count what the locations sent. `copy` and `scan` handle the same bytes in the fastest possible
//! way, so that the other figures can be read as ratios within one run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails here is a failed run"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

use ironic_proxy::api::link::{Base, Kind, rewrite_document};
use ironic_proxy::api::merged_page::{MergedPage, Taken};
use ironic_proxy::api::page::{Keep, Need, Page};

#[path = "corpus/nodes.rs"]
mod nodes;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const LOCATIONS: u32 = 3;
/// As the gateway sends.
const PART: usize = 64 << 10;
const PUBLIC: &str = "https://bm.example.com/baremetal";
const NEXT: &str = "https://bm.example.com/baremetal/v1/nodes/detail?limit=3000&marker=x";

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = detail_lists, one_node
}
criterion_main!(benches);

fn detail_lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    // The first is the size that figures are quoted for; the others show how cost grows.
    for nodes in [1000, 100, 300, 3000] {
        let answers: Vec<(Base, Bytes)> = (0..LOCATIONS)
            .map(|location| {
                let base = location_base(location);
                let body = nodes::nodes_detail(location, base.as_str(), nodes);
                (base, Bytes::from(body))
            })
            .collect();
        merge_yardsticks(&mut group, nodes, &answers);
        let id = BenchmarkId::new("list", format!("{LOCATIONS}x{nodes}"));
        group.bench_with_input(id, &answers, |bencher, answers| {
            let to = base(PUBLIC);
            bencher.iter(|| merge(answers, &to, Keep::All));
        });
        let id = BenchmarkId::new("list of three fields", format!("{LOCATIONS}x{nodes}"));
        group.bench_with_input(id, &answers, |bencher, answers| {
            let to = base(PUBLIC);
            bencher.iter(|| merge(answers, &to, Keep::Only(&["uuid", "name", "traits"])));
        });
    }
    group.finish();
}

/// What the gateway does with the answers of all locations: take apart, learn who has what, write one answer.
fn merge(
    answers: &[(Base, Bytes)],
    to: &Base,
    keep: Keep<'_>,
) -> (usize, HashMap<Box<str>, usize>) {
    let pages: Vec<Arc<Page>> = answers
        .iter()
        .map(|(base, body)| {
            let need = Need {
                kind: Kind::Node,
                from: base.into(),
                id: "uuid",
                sort_key: None,
                keep,
                note: &[],
            };
            let page = Page::decode(body.clone(), "nodes", &need);
            Arc::new(page.expect("the corpus is JSON"))
        })
        .collect();
    let mut owners = HashMap::new();
    for (location, page) in pages.iter().enumerate() {
        for item in page.items() {
            for ident in [item.id(), item.name()].into_iter().flatten() {
                owners.insert(Box::from(ident), location);
            }
        }
    }
    let items = pages.iter().flat_map(Taken::all);
    let merged = MergedPage::new("nodes", to.clone(), items).with_next(Some(NEXT.to_owned()));
    let length = merged.length();
    let written: usize = merged
        .into_parts(PART)
        .map(|part| black_box(part).len())
        .sum();
    assert_eq!(length, written);
    (length, owners)
}

fn merge_yardsticks(
    group: &mut BenchmarkGroup<'_, WallTime>,
    nodes: u32,
    answers: &[(Base, Bytes)],
) {
    let bytes: usize = answers.iter().map(|(_, body)| body.len()).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    let id = BenchmarkId::new("copy", format!("{LOCATIONS}x{nodes}"));
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            let mut copy = Vec::with_capacity(bytes);
            for (_, body) in answers {
                copy.extend_from_slice(body);
            }
            copy
        });
    });
    let id = BenchmarkId::new("scan", format!("{LOCATIONS}x{nodes}"));
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            for (_, body) in answers {
                black_box(memchr::memchr(0, body));
            }
        });
    });
}

fn one_node(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    let from = location_base(1);
    let to = base(PUBLIC);
    let node = nodes::node_detail(1, from.as_str(), 7);
    group.throughput(Throughput::Bytes(node.len() as u64));
    group.bench_function("node", |bencher| {
        bencher.iter(|| rewrite_document(Kind::Node, black_box(&node), (&from).into(), &to));
    });
    group.finish();
}

fn location_base(location: u32) -> Base {
    base(&format!("http://10.0.{location}.1:6385"))
}

fn base(text: &str) -> Base {
    Base::parse(text).expect("the benches' URLs are plain")
}
