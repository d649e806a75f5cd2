//! The steps of a reconcile: what is looked at, what is done, and when it ends. Values only.

use std::time::Duration;

use crate::api::v1alpha1::Reason;

use super::rungs::Rungs;

/// Something to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The replicator's object.
    Replicator,
    /// What would happen, while the application still runs.
    Preview,
    /// The journal's ConfigMaps.
    Journal,
    /// Both clusters: connect, and ask who they are.
    Clusters,
    /// Other migrations of the same target group.
    Rivals,
    /// The group on the source.
    Group,
    /// Whether its offsets stand still.
    Quiet,
    /// Everything that the positions follow from.
    Mapping,
    /// The group on the target.
    Target,
    /// Whether anything has moved since the plan was computed.
    Unmoved,
    /// Whether a topic is another one than the plan was made for.
    Topics,
}

/// Something to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Latch the confirmation in status.
    Latch,
    /// Store what stands on the source now.
    StoreSnapshot,
    /// Store the plan that was computed.
    StorePlan,
    /// Commit the plan's offsets, and read them back.
    Commit,
}

/// When the object is looked at again, if nothing changes in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never.
    Never,
    /// After this time.
    After(Duration),
    /// With the object's back-off.
    BackOff,
    /// At the pace of the preview.
    Preview,
    /// At the pace of stalled objects, and of those that wait for a person.
    Seldom,
}

impl Next {
    /// What is stalled waits for its user, everything else is tried again.
    pub fn after(reason: Reason) -> Self {
        if reason.is_stalled() { Self::Seldom } else { Self::BackOff }
    }
}

/// The end of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// What the conditions say.
    pub rungs: Rungs,
    /// When to look again.
    pub next: Next,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// See more.
    Look(Look),
    /// Do something; the conditions are what they are so far.
    Act(Act, Rungs),
    /// Nothing more now.
    Rest(Rest),
}
