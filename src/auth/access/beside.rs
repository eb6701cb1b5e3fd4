//! The rules that Ironic asks of a request beside the one of its route: whether the caller sees what it is about, may do
//! what its body brings along, and is shown all of the answer.

use crate::api::collection::Collection;
use crate::api::route::Action;
use crate::api::route::table::About;
use crate::api::route::table::Row;
use crate::api::rules::Rule;
use crate::policy::caller::Caller;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;

/// Whether they all say yes, whatever it is about. With Ironic's own rules they do for who passes the route's.
pub(super) fn are_met(row: &Row, rules: &Rules, caller: &Caller<'_>) -> bool {
    let is_met = |rule: &Rule| rules.judge(*rule, caller, &Target::Unasked) == Verdict::Yes;
    let is_shown_whole = match shown(row) {
        Some(Collection::Nodes) => {
            is_met(&Rule::NodeGetFilterThreshold) || OF_NODES.iter().all(is_met)
        }
        Some(Collection::VolumeTargets) => is_met(&Rule::VolumeViewTargetProperties),
        _ => true,
    };
    is_shown_whole
        && seen(row).iter().all(is_met)
        && brought(row).iter().all(is_met)
        && !(has_steps(row) && rules.are_about_steps())
}

/// Of members that are hidden one by one.
const OF_NODES: &[Rule] = &[
    Rule::NodeGetDriverInfo,
    Rule::NodeGetDriverInternalInfo,
    Rule::NodeGetLastError,
    Rule::NodeGetReservation,
];

/// Of the collection whose items an answer shows.
fn shown(row: &Row) -> Option<Collection> {
    let shown = match row.action {
        Action::Member(collection)
        | Action::List(collection)
        | Action::Create(collection)
        | Action::ListBelow {
            items: collection, ..
        } => collection,
        Action::ChassisNodes => Collection::Nodes,
        _ => return None,
    };
    // An answer to a new target shows what was sent.
    let is_sent = shown == Collection::VolumeTargets && row.method == "POST";
    (row.method != "DELETE" && !is_sent).then_some(shown)
}

/// "Always check the ability to see the node BEFORE anything else" (`ironic/api/controllers/v1/utils.py`).
fn seen(row: &Row) -> &'static [Rule] {
    match row.about {
        About::Node if row.template == "nodes/{}/children" => &[Rule::NodeGet, Rule::NodeListAll],
        About::Node
        | About::NodeOf(_)
        | About::NodeOfBody
        | About::NodeOfQuery
        | About::AllOf(..)
        | About::AllOfNode(_)
        | About::AllocationOfNode
        | About::NewAllocation => &[Rule::NodeGet],
        // Of a list it is asked for each that is shown.
        About::Allocation | About::All(Rule::AllocationList) => &[Rule::AllocationGet],
        About::Nothing | About::All(_) | About::NewNode | About::Runbook | About::NewRunbook => &[],
    }
}

fn brought(row: &Row) -> &'static [Rule] {
    match row.rule {
        Rule::NodeSetProvisionState => &[
            Rule::NodeSetProvisionStateCleanSteps,
            Rule::NodeSetProvisionStateServiceSteps,
            Rule::RunbookUse,
        ],
        _ => &[],
    }
}

/// Each step may be under a rule of its own.
fn has_steps(row: &Row) -> bool {
    matches!(
        row.rule,
        Rule::NodeSetProvisionState | Rule::RunbookCreate | Rule::RunbookUpdate
    )
}
