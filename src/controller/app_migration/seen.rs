//! What one reconcile has seen so far. Values only: `decide` reads them, `observe` fills them in.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    TopicPartition,
    api::v1alpha1::{HiddenTopics, Preview, Reason},
    kafka::Committed,
    mapping::{
        Finding, Plan,
        plan::{MadeFor, TopicIdentity},
    },
};

use super::{
    super::{fault::Fault, replicator::Replicator},
    journal::{Journal, Snapshot},
    step::Look,
};

/// What was seen; `None` is "not looked at yet".
#[derive(Debug, Default)]
pub struct Seen {
    /// The replicator, or why it cannot be used.
    pub replicator: Option<Result<Box<Replicator>, (Reason, String)>>,
    /// What would happen, where the application still runs.
    pub preview: Option<Preview>,
    /// The journal.
    pub journal: Option<JournalSeen>,
    /// What kept the last look from being made.
    pub fault: Option<(Look, Fault)>,
    /// Who the two clusters are.
    pub clusters: Option<ClusterIds>,
    /// Whether no other migration goes first, or which does.
    pub rival: Option<Result<(), String>>,
    /// The group on the source.
    pub group: Option<Group>,
    /// Topics that its members read, or were seen to read, and that may not be described.
    pub hidden: Option<HiddenTopics>,
    /// Whether its offsets stand still.
    pub quiet: Option<Quiet>,
    /// Its committed offsets, as they were read before everything else.
    pub committed: BTreeMap<TopicPartition, Committed>,
    /// The positions, or what stands in the way.
    pub mapping: Option<Mapping>,
    /// The group on the target.
    pub target: Option<Target>,
    /// Whether the topics are those that the stored plan was made for, or what differs.
    pub topics: Option<Result<(), String>>,
    /// Whether nothing has moved since the plan was computed, or what has.
    pub unmoved: Option<Result<(), String>>,
    /// How the commit went.
    pub outcome: Option<Outcome>,
}

impl Seen {
    /// The snapshot in the journal.
    pub fn journal_snapshot(&self) -> Option<&Snapshot> {
        self.own_journal()?.snapshot.as_ref()
    }

    /// The plan in the journal.
    pub fn stored_plan(&self) -> Option<&Plan> {
        self.own_journal()?.plan.as_ref()
    }

    /// The plan in hand: computed just now, else the stored one.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.mapping {
            Some(Mapping::Mapped(plan)) => Some(plan),
            _ => self.stored_plan(),
        }
    }

    /// The journal, where it is ours.
    pub fn own_journal(&self) -> Option<&Journal> {
        match self.journal.as_ref()? {
            JournalSeen::Ours(journal) => Some(journal),
            JournalSeen::Conflict(_) => None,
        }
    }
}

/// The journal's ConfigMaps.
#[derive(Debug)]
pub enum JournalSeen {
    /// Not there yet, of a former object, or our own.
    Ours(Box<Journal>),
    /// Somebody else's, or altered; the text says which.
    Conflict(String),
}

/// Who the two clusters are, and the topics that a stored plan names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterIds {
    /// The source's id.
    pub source: String,
    /// The target's id.
    pub target: String,
}

impl ClusterIds {
    /// What is another one than the plan was made for.
    pub fn differs_from(&self, plan: &MadeFor) -> Option<String> {
        let differs = |side: &str, now: &str, then: &str| {
            (now != then).then(|| format!("the {side} cluster is {now}, the plan was made for {then}"))
        };
        differs("source", &self.source, &plan.source_cluster_id)
            .or_else(|| differs("target", &self.target, &plan.target_cluster_id))
    }
}

/// A topic that is another one than the plan was made for, or has other partitions.
pub fn topic_change(
    side: &str,
    then: &BTreeMap<String, TopicIdentity>,
    now: &BTreeMap<String, TopicIdentity>,
) -> Option<String> {
    then.iter().find_map(|(topic, was)| match now.get(topic) {
        None => Some(format!("topic {topic} is gone from the {side}")),
        Some(is) if is.id != was.id => Some(format!("topic {topic} was recreated on the {side}")),
        Some(is) if is.partitions != was.partitions => Some(format!(
            "topic {topic} on the {side} has {} partitions, it had {}",
            is.partitions, was.partitions
        )),
        Some(_) => None,
    })
}

/// The group on the source.
#[derive(Debug)]
pub enum Group {
    /// It cannot be moved now; the text says why and what would end it.
    Unfit(Reason, String),
    /// It has no members. Offsets of the confirmation may be gone.
    Stopped {
        /// Which ones.
        gone: Option<String>,
    },
}

/// Whether the group's offsets stand still.
#[derive(Debug)]
pub enum Quiet {
    /// Not for long enough yet; so long is left.
    Running(Duration),
    /// They changed; the text says where. So long is left from now on.
    Moving(String, Duration),
    /// For the whole quiet period.
    Still,
}

/// The positions.
#[derive(Debug)]
pub enum Mapping {
    /// What stands in the way.
    Blocked(Vec<Finding>),
    /// The plan.
    Mapped(Box<Plan>),
}

/// The group on the target.
#[derive(Debug, Default)]
pub struct Target {
    /// That it has members, and which.
    pub active: Option<String>,
    /// Its committed offsets.
    pub committed: BTreeMap<TopicPartition, Committed>,
    /// Where the logs end that the plan names and that it has an offset on.
    pub ends: BTreeMap<TopicPartition, i64>,
}

/// How the commit went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Partitions that failed for now, each with why.
    pub failed: Vec<(TopicPartition, String)>,
    /// Partitions that the target refuses for good, each with why.
    pub refused: Vec<(TopicPartition, String)>,
    /// The target group has got members.
    pub active: Option<String>,
    /// Partitions that have their planned offset, as read back.
    pub committed: Vec<TopicPartition>,
}

impl Outcome {
    /// Everything is committed and read back: each partition was seen to have its offset.
    pub fn done(&self, plan: &Plan) -> bool {
        let nothing_left = self.failed.is_empty() && self.refused.is_empty() && self.active.is_none();
        nothing_left && self.committed.len() == plan.targets.len()
    }

    /// Nothing but what only the user can mend is left.
    pub fn for_good(&self) -> bool {
        self.failed.is_empty() && self.active.is_none() && !self.refused.is_empty()
    }

    /// The condition's reason.
    pub fn reason(&self) -> Reason {
        if self.active.is_some() { Reason::TargetGroupActive } else { Reason::CommitFailed }
    }

    /// The condition's message: names exactly which partitions were not committed.
    pub fn message(&self) -> String {
        let mut all: Vec<String> = self.active.iter().cloned().collect();
        all.extend(self.refused.iter().chain(&self.failed).take(10).map(|(t, why)| format!("{t}: {why}")));
        let failed = self.refused.len() + self.failed.len();
        let committed = self.committed.len();
        format!("{}; {committed} partitions are committed, {failed} are not", all.join("; "))
    }
}
