//! The plan: the position of every target partition with its certificate, its hash and its two files.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{SourceOffset, TargetOffset};
use crate::TopicPartition;

/// Version of `plan.json`.
pub const PLAN_VERSION: u32 = 1;

/// What a migration is going to commit, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Version of this layout.
    pub version: u32,
    /// Name of the migration.
    pub migration: String,
    /// The group on the source.
    pub group: String,
    /// The group on the target.
    pub target_group: String,
    /// The `metadata.generation` of the migration that it was computed for.
    pub generation: i64,
    /// When it was computed, RFC 3339.
    pub computed_at: String,
    /// When its commit was about to begin, RFC 3339. From then on it is finished, never replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_begun_at: Option<String>,
    /// What the plan was made for.
    pub made_for: MadeFor,
    /// Every target partition that gets an offset, by topic and partition.
    pub targets: Vec<TargetPlan>,
    /// Source partitions that a policy left out, each with the reason.
    pub left_out: Vec<LeftOut>,
}

/// The clusters, topics and replicator that a plan was made for. Compared before the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeFor {
    /// Id of the source cluster.
    pub source_cluster_id: String,
    /// Id of the target cluster.
    pub target_cluster_id: String,
    /// Topic ids and partition counts on the source.
    pub source_topics: std::collections::BTreeMap<String, TopicIdentity>,
    /// Topic ids and partition counts on the target.
    pub target_topics: std::collections::BTreeMap<String, TopicIdentity>,
    /// Uid of the `K2KReplicator`.
    pub replicator_uid: String,
    /// Its `metadata.generation`.
    #[serde(default)]
    pub replicator_generation: i64,
    /// The digest of its pipeline file, where it is filled from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

/// What tells a topic from another one of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicIdentity {
    /// The topic id.
    pub id: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A source partition that takes no part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The source topic.
    pub topic: String,
    /// The partition; none for the whole topic.
    pub partition: Option<i32>,
    /// Why.
    pub why: String,
}

/// The position on one target partition, and its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPlan {
    /// The target topic.
    pub topic: String,
    /// The target partition.
    pub partition: i32,
    /// Where the group resumes.
    pub position: TargetOffset,
    /// What lies around the position.
    pub kind: Kind,
    /// The log start, when looked at.
    pub log_start: TargetOffset,
    /// The last stable offset up to which was looked at.
    pub last_stable_offset: TargetOffset,
    /// The commit's metadata; base64 in JSON.
    #[serde(with = "base64_bytes")]
    pub metadata: Vec<u8>,
    /// What lies below this offset was not read: the counts are lower bounds. None where it was; `verified` tells
    /// whether all of it was behind that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<TargetOffset>,
    /// Records without an origin below the position.
    pub natives_skipped: u64,
    /// Records whose origin cannot be decoded.
    pub undecodable: u64,
    /// The first of those, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_undecodable: Option<String>,
    /// Look-ups that the search took; a scan takes none.
    pub probes: u64,
    /// Records read on the target.
    pub records_read: u64,
    /// The source partitions that it holds copies of.
    pub sources: Vec<SourceCertificate>,
    /// The group stood at the position already when the commit was announced: that says nothing of the commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub there_before: bool,
    /// What the target said after the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
    /// The existing offset that the policy `Forward` left ahead of the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<TargetOffset>,
}

/// What was read on the target after the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// The group's offset.
    pub offset: TargetOffset,
    /// The first record that the group has not read; none where there was none, or none any more.
    pub first: Option<RecordRef>,
}

/// What lies around a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Records on both sides.
    Boundary,
    /// Nothing below it.
    Start,
    /// Nothing at or above it.
    End,
    /// Nothing at all.
    Empty,
}

/// How it is known that nothing below the committed offset is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProvenBy {
    /// The replicator's own position has passed it.
    ReplicatorPosition,
    /// The target holds a record at or above it.
    Witness,
    /// The source holds nothing more below it.
    SourceExhausted,
    /// The policy waived the proof.
    Waived,
}

/// A record on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef {
    /// Its offset on the target.
    pub offset: TargetOffset,
    /// The source offset that it is a copy of.
    pub origin: SourceOffset,
}

/// The certificate of one source partition on one target partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceCertificate {
    /// The source topic.
    pub topic: String,
    /// The source partition.
    pub partition: i32,
    /// The committed offset.
    pub committed: SourceOffset,
    /// The policy that stands in for a commit, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
    /// The source's log start.
    pub log_start: SourceOffset,
    /// The source's high watermark.
    pub end: SourceOffset,
    /// The replicator's own position, where it is known.
    pub replicator_position: Option<SourceOffset>,
    /// The nearest record below the position, of an origin below the committed offset.
    pub below: Option<RecordRef>,
    /// The first record that the group has not read.
    pub at: Option<RecordRef>,
    /// Records that are read again.
    pub reread: u64,
    /// Records that the target misses.
    pub gap: u64,
    /// Records that the replicator dropped on purpose.
    pub filtered: u64,
    /// Missing records whose key has a later record on the compacted target.
    pub superseded: u64,
    /// Whether the position is the exact one.
    pub exact: bool,
    /// Why it is not.
    pub why: Vec<String>,
    /// How completeness is known.
    pub proven_by: ProvenBy,
    /// How the position was verified.
    pub verified: String,
}

impl TargetPlan {
    /// The target partition.
    pub fn target(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }

    /// The offset that the group has in the end.
    pub fn final_offset(&self) -> TargetOffset {
        self.kept.unwrap_or(self.position)
    }
}

impl Plan {
    /// `sha256:` and the hex digest of the plan's canonical lines: the two groups, the two cluster ids, then
    /// each target partition with its position and metadata.
    pub fn hash(&self) -> String {
        let mut lines = format!(
            "{}\n{}\n{}\n{}\n",
            self.group, self.target_group, self.made_for.source_cluster_id, self.made_for.target_cluster_id
        );
        let mut targets: Vec<&TargetPlan> = self.targets.iter().collect();
        targets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        for t in targets {
            let metadata = BASE64.encode(&t.metadata);
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{}\t{}\t{}\t{metadata}", t.topic, t.partition, t.position);
        }
        sha256(&lines)
    }

    /// `offsets.csv`: `topic,partition,offset` of what the group has on the target in the end, in the form
    /// that `kafka-consumer-groups --reset-offsets --from-file` reads.
    pub fn offsets_csv(&self) -> String {
        self.targets.iter().fold(String::new(), |mut csv, t| {
            let _ = writeln!(csv, "{},{},{}", t.topic, t.partition, t.final_offset());
            csv
        })
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::BASE64;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// `sha256:` and the hex digest of a text.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold("sha256:".to_owned(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
