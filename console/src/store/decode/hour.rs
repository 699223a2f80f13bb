//! The last hour as the store has it.

use loop_proto::pb;

use super::{Decoder, row, some};
use crate::store::{DumpFile, Host, Hour, PastFinding};

impl Decoder {
    pub(super) fn hour(&self, v: pb::View) -> Hour {
        let hour = v.hour.unwrap_or_default();
        let findings = v.past_findings.into_iter().map(|past| PastFinding {
            finding: self.finding(past.finding.unwrap_or_default()),
            first_ns: past.first_at_ns,
            made_ns: past.made_at_ns,
            cleared_ns: past.cleared_at_ns,
            times: past.times.max(1),
            dump: past.dump,
        });
        Hour {
            from_ns: hour.from_ns,
            findings: findings.collect(),
            dropped: hour.findings_dropped,
            blocks: v.blocks.into_iter().map(|b| self.block(b)).collect(),
            blocks_total: hour.blocks,
            blocks_dropped: hour.blocks_dropped,
            look_every_ns: u64::from(hour.look_interval_ms) * 1_000_000,
            series: v.series.into_iter().map(row::series).collect(),
            dumps: hour.dumps.into_iter().map(dump).collect(),
            host: hour.host.map(|host| Host {
                kernel: host.kernel,
                cpus_online: host.cpus_online,
                cgroup_cpus: host.cgroup_cpus,
                cgroup_memory: host.cgroup_memory,
                cgroup_unknown: host.cgroup_unknown,
                memory: host.memory,
            }),
        }
    }
}

fn dump(file: pb::DumpFile) -> DumpFile {
    DumpFile {
        path: file.path,
        at_ns: file.at_ns,
        cause: file.cause,
        detail: file.detail,
        bytes: file.bytes,
        subject: some(file.subject_id),
    }
}
