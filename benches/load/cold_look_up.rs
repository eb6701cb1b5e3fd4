//! Nodes that the gateway has never heard of, among a hundred locations.

use std::io;
use std::time::Duration;

use crate::bench::Bench;
use crate::bench::addresses;
use crate::process::Memory;
use crate::process::Process;
use crate::report::Row;
use crate::simulated::Location;
use crate::simulated::Nature;
use crate::simulated::Silence;
use crate::wire::Target;
use crate::wire::Wire;

/// One node after another that the gateway has never heard of, and each once more.
pub(crate) fn measure(bench: &mut Bench) -> io::Result<()> {
    const LOCATIONS: u32 = 100;
    const LATENCY: Duration = Duration::from_millis(50);
    let count = if bench.options.quick { 8 } else { 24 };
    let nature = Nature {
        nodes: count,
        latency: LATENCY,
        failures: 0.0,
        silence: Silence::None,
    };
    let mut locations = bench.locations(LOCATIONS, nature)?;
    for dark in [false, true] {
        if dark {
            let nature = Nature {
                silence: Silence::Resources,
                ..nature
            };
            let last = locations.len() - 1;
            locations[last] = Location::start(bench.world.handle(), LOCATIONS - 1, nature, None)?;
        }
        let which = if dark { "one of them dark" } else { "all well" };
        bench.progress(&format!(
            "cold look-ups among {LOCATIONS} locations, {which}"
        ));
        let gateway = Process::gateway(&addresses(&locations), 1000)?;
        let target = Target::plain(gateway.address);
        let mut wire = Wire::new(&target);
        let (mut cold, mut warm) = (Row::of("not seen before"), Row::of("seen before"));
        let before = gateway.cpu();
        for step in 0..count as usize {
            let location = &locations[step * 37 % (locations.len() - 1)];
            let request = target.get(&format!("/v1/nodes/{}", location.uuids()[step]));
            cold.add(bench.once(&mut wire, &request)?);
            warm.add(bench.once(&mut wire, &request)?);
        }
        let cost = (gateway.cpu() - before).as_secs_f64() / f64::from(count);
        let (slow, fast) = (cold.samples.percentile(0.5), warm.samples.percentile(0.5));
        cold.peak = Some(gateway.memory(Memory::Peak));
        bench.report.load(
            &format!(
                "Show one node, {LOCATIONS} locations at {} ms, {which}",
                LATENCY.as_millis()
            ),
            &[cold, warm],
        );
        let looked_up = slow.saturating_sub(fast).as_secs_f64() * 1e3;
        let text = format!("Cold look-up among {LOCATIONS} locations, {which}: added to the show");
        bench
            .report
            .figure(text, looked_up, "ms", LATENCY.as_secs_f64() * 1e3 + 10.0);
        bench
            .report
            .figure(format!("The same, {which}: CPU"), cost * 1e3, "ms", None);
    }
    Ok(())
}
