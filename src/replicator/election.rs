//! Which instance works. Pure: from the members of the group, as the source's coordinator describes them, to
//! what this one should do.
//!
//! Kafka's assignors share the partitions of a topic among all members that subscribe to it. So an instance
//! that stands by subscribes to no topic that exists: it is a member, sees every rebalance, and gets nothing.
//!
//! What is guaranteed:
//! - *Never a loss*: each source partition is assigned to one member of a generation at most, and a position
//!   is committed only for what the target has acknowledged. Two that work at the same time share the
//!   partitions; one that was fenced out may still write, and what it writes are repeats.
//! - *It settles on one*: every instance judges by the same rule. Of those that hold partitions the one with
//!   the smallest member id goes on and the others step back; where none holds any, the smallest of all goes
//!   to work. Member ids are given by the coordinator and unique.
//! - *Somebody works*: when the one at work leaves or its session times out, the coordinator rebalances and
//!   the rule is applied to who is left.

/// A member of the replicator's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: String,
    /// Whether it holds any partition.
    pub holds_partitions: bool,
}

/// What this instance should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Work: subscribe to the topics of the routes.
    Work,
    /// Stand by; the member with this id works.
    StandBy(String),
    /// The group is between two generations, or this instance is no member yet: nothing changes.
    Undecided,
}

/// Judges. `stable` tells whether all members have their assignment: in any other state of a group the
/// coordinator shows none.
pub fn judge(own_id: &str, stable: bool, members: &[Member]) -> Verdict {
    if !stable || !members.iter().any(|member| member.id == own_id) {
        return Verdict::Undecided;
    }
    let holder = members.iter().filter(|member| member.holds_partitions).map(|member| &member.id).min();
    let chosen = holder.or_else(|| members.iter().map(|member| &member.id).min());
    match chosen {
        Some(id) if id != own_id => Verdict::StandBy(id.clone()),
        _ => Verdict::Work,
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, Verdict, judge};

    fn members(of: &[(&str, bool)]) -> Vec<Member> {
        of.iter().map(|(id, holds)| Member { id: (*id).into(), holds_partitions: *holds }).collect()
    }

    #[test]
    fn alone_it_works() {
        assert_eq!(judge("a", true, &members(&[("a", false)])), Verdict::Work);
    }

    #[test]
    fn whoever_holds_partitions_goes_on_whatever_the_ids() {
        let group = members(&[("a", false), ("b", true)]);
        assert_eq!(judge("a", true, &group), Verdict::StandBy("b".into()));
        assert_eq!(judge("b", true, &group), Verdict::Work);
    }

    #[test]
    fn of_two_that_work_the_smaller_id_goes_on() {
        let group = members(&[("a", true), ("b", true), ("0", false)]);
        assert_eq!(judge("a", true, &group), Verdict::Work);
        assert_eq!(judge("b", true, &group), Verdict::StandBy("a".into()));
        assert_eq!(judge("0", true, &group), Verdict::StandBy("a".into()));
    }

    #[test]
    fn where_none_works_the_smallest_id_begins() {
        let group = members(&[("b", false), ("a", false)]);
        assert_eq!(judge("a", true, &group), Verdict::Work);
        assert_eq!(judge("b", true, &group), Verdict::StandBy("a".into()));
    }

    #[test]
    fn between_generations_nothing_changes() {
        assert_eq!(judge("a", false, &members(&[("a", false)])), Verdict::Undecided);
        assert_eq!(judge("a", true, &members(&[("b", true)])), Verdict::Undecided);
        assert_eq!(judge("", true, &[]), Verdict::Undecided);
    }
}
