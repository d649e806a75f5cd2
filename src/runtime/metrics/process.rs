//! What the kernel knows of the process, under the names that every Prometheus client uses. Linux only, as there.

use prometheus_client::registry::Registry;

#[cfg(not(target_os = "linux"))]
pub fn register(_: &mut Registry) {}

#[cfg(target_os = "linux")]
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(linux::Process));
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::{WithCurrentSystemInfo as _, process};
    use prometheus_client::{
        collector::Collector,
        encoding::{DescriptorEncoder, EncodeMetric},
        metrics::{counter::ConstCounter, gauge::ConstGauge},
        registry::Unit,
    };

    #[derive(Debug)]
    pub struct Process;

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
            // What cannot be read is left out.
            let Ok(process) = process::Process::myself() else { return Ok(()) };
            let Ok(stat) = process.stat() else { return Ok(()) };
            let mut give = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
                let encoder = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
                metric.encode(encoder)
            };
            let cpu = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
            give("process_cpu", "CPU time used.", Some(&Unit::Seconds), &ConstCounter::new(cpu))?;
            let memory = |bytes: u64| ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let resident = memory(stat.rss_bytes().get());
            give("process_resident_memory", "Memory that is resident.", Some(&Unit::Bytes), &resident)?;
            let virtually = memory(stat.vsize);
            give("process_virtual_memory", "Address space in use.", Some(&Unit::Bytes), &virtually)?;
            give("process_threads", "Threads.", None, &ConstGauge::new(stat.num_threads))?;
            if let Ok(open) = process.fd_count() {
                let open = ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX));
                give("process_open_fds", "File descriptors that are open.", None, &open)?;
            }
            Ok(())
        }
    }
}
