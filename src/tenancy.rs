//! Requests of callers with limited rights: tenants, owners, lessees.
//!
//! A location sees our credential, which may do everything, so its policy for the caller is applied here. A tenant's
//! request becomes one or more requests of that credential: what is asked about is looked up first, the rules are
//! applied, and only what they let through is sent, by the UUID that was looked up; answers lose what the caller must
//! not see. What is hidden from a caller takes the same path as what is absent, and has the same answer.
//!
//! - `case`: one request on its way; the only file that speaks to the federation; `resource`: what a location shows;
//! - `facts`: who owns or leases a thing; `sought`: which of those with one name is meant; `made`: how a new one gets its owner;
//! - `refusal`: Ironic's words for refusals;
//! - `nodes`, `parts` (ports, port groups, volume), `allocations`, `runbooks`: one file for each kind of thing;
//! - `lists`: lists of what a caller can see, `page` by page, `part_lists` of what is at nodes, `by_node`; `masks`: members that are hidden within it.

mod allocations;
mod by_node;
pub(crate) mod case;
mod facts;
mod lists;
mod made;
mod masks;
mod nodes;
mod page;
mod part_lists;
mod parts;
mod provision;
mod refusal;
mod resource;
mod runbooks;
pub mod serve;
mod sought;
