//! Consumer groups as the cluster describes them: plain values, no I/O.

use super::TopicPartition;

/// The state of a consumer group, as far as the client can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// A state the client has no name for. KIP-848 groups report Assigning and Reconciling this way.
    Unknown,
    /// A classic group whose members are joining.
    PreparingRebalance,
    /// A classic group whose leader is assigning.
    CompletingRebalance,
    /// Members are there and hold their partitions.
    Stable,
    /// The group does not exist (or is a share or streams group: the calls do not tell).
    Dead,
    /// The group exists and has no members.
    Empty,
}

/// Which protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// The classic protocol.
    Classic,
    /// The consumer protocol of KIP-848.
    Consumer,
    /// The broker did not say.
    Unknown,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The member's id, given by the coordinator or (KIP-848) by the client itself.
    pub member_id: String,
    /// `group.instance.id` of a static member; it stays listed until its session times out.
    pub instance_id: Option<String>,
    /// The member's `client.id`.
    pub client_id: String,
    /// Where the member connects from, as the broker sees it.
    pub host: String,
    /// What the member is assigned now.
    pub assignment: Vec<TopicPartition>,
}

/// A group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The state.
    pub state: GroupState,
    /// The protocol.
    pub kind: GroupKind,
    /// The members, in the coordinator's order.
    pub members: Vec<GroupMember>,
}

impl GroupDescription {
    /// True when somebody may be consuming: members, or any state but Empty and Dead. A state without a
    /// name counts as active, since KIP-848 groups between two assignments show exactly that.
    pub fn is_active(&self) -> bool {
        !self.members.is_empty() || !matches!(self.state, GroupState::Empty | GroupState::Dead)
    }

    /// True when the cluster knows no such consumer group. The broker answers `Dead` without an error for
    /// an unknown name, and also for a share or streams group.
    pub fn not_found(&self) -> bool {
        self.members.is_empty() && self.state == GroupState::Dead
    }
}

/// A committed offset: the **next** record to read, and what the client wrote beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The commit's metadata, byte for byte. Any bytes: NUL and invalid UTF-8 occur in the field.
    pub metadata: Vec<u8>,
}

/// One offset to commit. The leader epoch is always sent as -1: an epoch of another cluster makes
/// consumers loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffset {
    /// For which partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// Metadata, written byte for byte.
    pub metadata: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(state: GroupState, members: usize) -> GroupDescription {
        let member = GroupMember {
            member_id: "m".into(),
            instance_id: None,
            client_id: "c".into(),
            host: "/127.0.0.1".into(),
            assignment: vec![],
        };
        GroupDescription { state, kind: GroupKind::Classic, members: vec![member; members] }
    }

    #[test]
    fn active_when_members_or_any_state_but_empty_and_dead() {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable, Unknown};
        for state in [Unknown, PreparingRebalance, CompletingRebalance, Stable] {
            assert!(described(state, 0).is_active(), "{state:?}");
        }
        for state in [Empty, Dead] {
            assert!(!described(state, 0).is_active(), "{state:?}");
            assert!(described(state, 1).is_active(), "{state:?} with a member");
        }
    }
}
