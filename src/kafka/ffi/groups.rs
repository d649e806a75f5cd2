//! Admin calls about consumer groups, on a consumer's handle. Blocks the calling thread.
//!
//! The handle MUST have a `group.id`: without one `ListConsumerGroupOffsets` crashes the process on a
//! moved coordinator (librdkafka issue 5040), which is why every client of this crate sets one.

use std::{collections::BTreeMap, ffi::c_char};

use rdkafka::{
    bindings::{
        self as sys, rd_kafka_admin_op_t as Op, rd_kafka_consumer_group_state_t as State,
        rd_kafka_consumer_group_type_t as Type,
    },
    client::NativeClient,
};

use super::{
    Failure,
    admin::{array, ask, plain},
    c_string, code, error_of,
    owned::{Element, Event, Options, PartitionList, read_list},
    text,
};
use crate::kafka::{
    CommitOffset, Committed, GroupDescription, GroupKind, GroupMember, GroupState, TopicPartition,
    patience::Patience,
};

/// All committed offsets of a group. An offset that a transaction still holds is a failure.
pub(in crate::kafka) fn committed(
    client: &NativeClient,
    group: &str,
    patience: &Patience,
) -> Result<BTreeMap<TopicPartition, Committed>, Failure> {
    let group = c_string(group)?;
    // SAFETY: the name is copied; null partitions mean all of them.
    let mut request = unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), std::ptr::null()) };
    if request.is_null() {
        return Err(Failure::call(code::INVALID_ARGUMENT));
    }
    let event = ask(
        client,
        Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
        patience,
        stable_only,
        // SAFETY: all are valid; the one request is copied before the call returns.
        |client, options, queue| unsafe {
            sys::rd_kafka_ListConsumerGroupOffsets(client, &raw mut request, 1, options, queue);
        },
    );
    // SAFETY: ours, freed once, not used after; the call works on its copy.
    unsafe { sys::rd_kafka_ListConsumerGroupOffsets_destroy(request) };
    let event = event?;
    // SAFETY: the event is of this kind, else the result is null.
    let groups = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        array(sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count), count)
    };
    stable_offsets(read_group_result(groups)?)
}

fn stable_only(options: &Options<'_>) -> Result<(), Failure> {
    options.require_stable_offsets()
}

/// Keeps what is committed; refuses what is not decided.
fn stable_offsets(elements: Vec<Element>) -> Result<BTreeMap<TopicPartition, Committed>, Failure> {
    let mut offsets = BTreeMap::new();
    let mut unstable = Vec::new();
    for element in elements {
        match element.code {
            // A partition without a commit comes back as a negative offset.
            0 if element.offset < 0 => {}
            0 => {
                let committed = Committed { offset: element.offset, metadata: element.metadata };
                offsets.insert(element.partition, committed);
            }
            code::UNSTABLE_OFFSET_COMMIT => unstable.push(element.partition),
            code => return Err(Failure::named(&element.partition, code)),
        }
    }
    if unstable.is_empty() {
        Ok(offsets)
    } else {
        unstable.sort();
        Err(Failure::Unstable(unstable))
    }
}

/// Commits offsets for a group; the answer's code per partition, 0 for success.
pub(in crate::kafka) fn alter_offsets(
    client: &NativeClient,
    group: &str,
    offsets: &[CommitOffset],
    patience: &Patience,
) -> Result<Vec<(TopicPartition, i32)>, Failure> {
    let group = c_string(group)?;
    let mut list = PartitionList::new(offsets.len())?;
    for offset in offsets {
        list.push(&offset.partition, offset.offset, &offset.metadata)?;
    }
    // SAFETY: name and list are copied.
    let mut request = unsafe { sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.ptr()) };
    if request.is_null() {
        return Err(Failure::call(code::INVALID_ARGUMENT));
    }
    let event = ask(
        client,
        Op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
        patience,
        plain,
        // SAFETY: all are valid; the one request is copied before the call returns.
        |client, options, queue| unsafe {
            sys::rd_kafka_AlterConsumerGroupOffsets(client, &raw mut request, 1, options, queue);
        },
    );
    // SAFETY: ours, freed once, not used after; the call works on its copy.
    unsafe { sys::rd_kafka_AlterConsumerGroupOffsets_destroy(request) };
    read_altered(&event?)
}

fn read_altered(event: &Event) -> Result<Vec<(TopicPartition, i32)>, Failure> {
    // SAFETY: the event is of this kind, else the result is null.
    let groups = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        array(sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count), count)
    };
    let elements = read_group_result(groups)?;
    Ok(elements.into_iter().map(|element| (element.partition, element.code)).collect())
}

/// The partitions of the one group that was asked for.
fn read_group_result(groups: &[*const sys::rd_kafka_group_result_t]) -> Result<Vec<Element>, Failure> {
    let &group = groups.first().ok_or_else(|| Failure::call(code::BAD_MSG))?;
    // SAFETY: both callers hold the event that owns the group.
    unsafe {
        error_of(sys::rd_kafka_group_result_error(group))?;
        Ok(read_list(sys::rd_kafka_group_result_partitions(group)))
    }
}

/// The names of all groups that the principal may see. A broker that does not answer is a failure: its groups would be
/// missing.
pub(in crate::kafka) fn list_groups(
    client: &NativeClient,
    patience: &Patience,
) -> Result<Vec<String>, Failure> {
    let event = ask(
        client,
        Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
        patience,
        plain,
        // SAFETY: all are valid.
        |client, options, queue| unsafe { sys::rd_kafka_ListConsumerGroups(client, options, queue) },
    )?;
    // SAFETY: the result and all that it points to live as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        let mut count = 0;
        let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
        if let Some(&error) = array(errors, count).first() {
            error_of(error)?;
        }
        let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
        let name = |&group: &*const sys::rd_kafka_ConsumerGroupListing_t| {
            text(sys::rd_kafka_ConsumerGroupListing_group_id(group))
        };
        Ok(array(groups, count).iter().map(name).collect())
    }
}

/// One group's state, protocol and members.
pub(in crate::kafka) fn describe_group(
    client: &NativeClient,
    group: &str,
    patience: &Patience,
) -> Result<GroupDescription, Failure> {
    let group = c_string(group)?;
    let mut names: [*const c_char; 1] = [group.as_ptr()];
    let event = ask(
        client,
        Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
        patience,
        plain,
        |client, options, queue| {
            // SAFETY: all are valid; the one name is copied before the call returns.
            unsafe { sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue) };
        },
    )?;
    read_description(&event)
}

fn read_description(event: &Event) -> Result<GroupDescription, Failure> {
    // SAFETY: the result and all that it points to live as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let &group = array(groups, count).first().ok_or_else(|| Failure::call(code::BAD_MSG))?;
        error_of(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
        let members = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        Ok(GroupDescription {
            state: state(sys::rd_kafka_ConsumerGroupDescription_state(group)),
            kind: kind(sys::rd_kafka_ConsumerGroupDescription_type(group)),
            members: (0..members)
                .map(|i| read_member(sys::rd_kafka_ConsumerGroupDescription_member(group, i)))
                .collect(),
        })
    }
}

/// # Safety
/// `member` is valid during the call.
unsafe fn read_member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: valid, see above; strings and lists are copied.
    unsafe {
        let instance = sys::rd_kafka_MemberDescription_group_instance_id(member);
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let assigned = if assignment.is_null() {
            Vec::new()
        } else {
            read_list(sys::rd_kafka_MemberAssignment_partitions(assignment))
        };
        GroupMember {
            member_id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            instance_id: (!instance.is_null()).then(|| text(instance)).filter(|id| !id.is_empty()),
            client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            assignment: assigned.into_iter().map(|element| element.partition).collect(),
        }
    }
}

/// The client maps the broker's text itself, so the enum holds only what it lists.
fn state(state: State) -> GroupState {
    match state {
        State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => GroupState::PreparingRebalance,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::CompletingRebalance,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN | State::RD_KAFKA_CONSUMER_GROUP_STATE__CNT => {
            GroupState::Unknown
        }
    }
}

fn kind(kind: Type) -> GroupKind {
    match kind {
        Type::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => GroupKind::Consumer,
        Type::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => GroupKind::Classic,
        Type::RD_KAFKA_CONSUMER_GROUP_TYPE_UNKNOWN | Type::RD_KAFKA_CONSUMER_GROUP_TYPE__CNT => {
            GroupKind::Unknown
        }
    }
}
