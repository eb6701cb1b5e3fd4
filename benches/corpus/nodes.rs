//! Node detail records as Ironic 39 writes them.

use std::fmt::Write;

/// The body of `GET /v1/nodes/detail` of one location: `count` nodes of about 3 KB, each with ten links.
pub(crate) fn nodes_detail(location: u32, base: &str, count: u32) -> Vec<u8> {
    let mut body = String::from("{\"nodes\": [");
    for index in 0..count {
        if index > 0 {
            body.push_str(", ");
        }
        node(&mut body, location, base, index);
    }
    write!(
        body,
        "], \"next\": \"{base}/v1/nodes/detail?sort_key=id&sort_dir=asc&limit={count}&marker={}\"}}",
        uuid(location, count - 1)
    )
    .expect("a String takes everything");
    body.into_bytes()
}

/// The body of `GET /v1/nodes/<uuid>`.
pub(crate) fn node_detail(location: u32, base: &str, index: u32) -> Vec<u8> {
    let mut body = String::new();
    node(&mut body, location, base, index);
    body.into_bytes()
}

fn uuid(location: u32, index: u32) -> String {
    // Knuth's multiplier scatters neighbours: Ironic's UUIDs are random, and their order is not that of creation. The
    // factor below is less than 2^16, so the last part keeps its twelve digits.
    let mixed = index.wrapping_mul(2_654_435_761);
    format!(
        "{mixed:08x}-{location:04x}-4000-8000-{:012x}",
        u64::from(mixed) * 65_521
    )
}

fn links(base: &str, uuid: &str, below: &str) -> String {
    format!(
        "[{{\"href\": \"{base}/v1/nodes/{uuid}{below}\", \"rel\": \"self\"}}, {{\"href\": \"{base}/nodes/{uuid}{below}\", \"rel\": \"bookmark\"}}]"
    )
}

/// A number that tells nothing about the next one, so that no branch predictor learns the corpus by heart.
fn noise(seed: u64) -> u64 {
    // The last steps of SplitMix64.
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn node(body: &mut String, location: u32, base: &str, index: u32) {
    const TRAITS: [&str; 4] = [
        "\"CUSTOM_GOLD\"",
        "\"CUSTOM_GOLD\", \"HW_CPU_X86_VMX\"",
        "",
        "\"CUSTOM_RACK_POWER_LIMITED\"",
    ];
    const CONTACTS: [&str; 4] = [
        "noc@example.com",
        "Zo\\u00eb \\\"Ops\\\"",
        "C:\\\\pxe",
        "Łódź",
    ];
    let uuid = uuid(location, index);
    let dice = noise(u64::from(location) << 32 | u64::from(index));
    let pick = |bit: u32, yes: &str, no: &str| {
        if dice >> bit & 1 == 1 {
            yes.to_owned()
        } else {
            no.to_owned()
        }
    };
    let deployed = dice & 3 != 0;
    let instance = if deployed {
        format!("\"{dice:08x}-aaaa-4bbb-8ccc-{location:012x}\"")
    } else {
        "null".to_owned()
    };
    let state = if deployed { "active" } else { "available" };
    let power = if deployed { "power on" } else { "power off" };
    let minute = index % 60;
    write!(
        body,
        concat!(
            r#"{{"uuid": "{uuid}", "created_at": "2026-03-14T09:{minute:02}:53.589793+00:00", "updated_at": "2026-11-22T10:{minute:02}:47.674582+00:00", "#,
            r#""automated_clean": {clean}, "bios_interface": "no-bios", "boot_interface": "{boot}", "boot_mode": "uefi", "clean_step": {{}}, "#,
            r#""conductor_group": "grp{location}", "console_enabled": false, "console_interface": "no-console", "disable_power_off": false, "#,
            r#""deploy_interface": "direct", "deploy_step": {{}}, "description": {description}, "driver": "redfish", "#,
            r#""driver_info": {{"redfish_address": "https://10.{location}.{rack}.{unit}", "redfish_username": "admin", "redfish_password": "******", "redfish_verify_ca": false, "deploy_kernel": "http://images.example.com/ipa.kernel"}}, "#,
            r#""driver_internal_info": {{"last_power_state_change": "2026-11-22T10:{minute:02}:46.{micro}", "is_whole_disk_image": true}}, "#,
            r#""extra": {{"asset_tag": "A{index:06}", "url": "{base}/v1/nodes/{uuid}", "contact": "{contact}"}}, "fault": null, "firmware_interface": "no-firmware", "inspection_finished_at": {inspected}, "inspection_started_at": null, "inspect_interface": "agent", "#,
            r#""instance_info": {{}}, "instance_name": null, "instance_uuid": {instance}, "last_error": {error}, "lessee": null, "maintenance": false, "maintenance_reason": null, "management_interface": "redfish", "#,
            r#""name": "node-{location}-{index}", "network_data": {{}}, "network_interface": "neutron", "owner": {owner}, "parent_node": null, "power_interface": "redfish", "power_state": "{power}", "#,
            r#""properties": {{"cpus": "64", "memory_mb": {memory}, "local_gb": "1788", "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"}}, "#,
            r#""protected": false, "protected_reason": null, "provision_state": "{state}", "provision_updated_at": "2026-11-22T10:{minute:02}:47+00:00", "raid_config": {{}}, "raid_interface": "no-raid", "rescue_interface": "no-rescue", "#,
            r#""reservation": null, "resource_class": "baremetal.large", "retired": {retired}, "retired_reason": null, "secure_boot": {secure}, "service_step": {{}}, "shard": {shard}, "storage_interface": "noop", "#,
            r#""target_power_state": null, "target_provision_state": null, "target_raid_config": {{}}, "vendor_interface": "no-vendor", "chassis_uuid": null, "allocation_uuid": null, "conductor": "cond-{location}.example.com", "traits": [{traits}], "#,
            r#""links": {links}, "ports": {ports}, "portgroups": {portgroups}, "states": {states}, "volume": {volume}}}"#,
        ),
        uuid = uuid,
        base = base,
        location = location,
        index = index,
        minute = minute,
        instance = instance,
        state = state,
        power = power,
        rack = index / 40,
        unit = index % 40,
        micro = dice >> 40,
        clean = pick(2, "null", "true"),
        boot = pick(3, "ipxe", "redfish-virtual-media"),
        description = pick(4, "null", "\"Second row, third rack\""),
        contact = CONTACTS[(dice >> 5 & 3) as usize],
        inspected = pick(7, "null", "\"2026-10-02T11:45:00+00:00\""),
        error = pick(8, "null", "\"Timeout reached while waiting for callback\""),
        owner = pick(9, "null", "\"0f53e6ea4f4c4b8a9ac4b0f0e5b4a8e1\""),
        memory = pick(10, "\"524288\"", "262144"),
        retired = pick(11, "false", "true"),
        secure = pick(12, "null", "true"),
        shard = pick(13, "null", "\"east-1\""),
        traits = TRAITS[(dice >> 14 & 3) as usize],
        links = links(base, &uuid, ""),
        ports = links(base, &uuid, "/ports"),
        portgroups = links(base, &uuid, "/portgroups"),
        states = links(base, &uuid, "/states"),
        volume = links(base, &uuid, "/volume"),
    )
    .expect("a String takes everything");
}
