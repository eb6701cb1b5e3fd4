//! Requests of those who may do some things to some things: tenants, owners, lessees.
//!
//! A location sees our credential, which may do everything, so what its own policy would say of the caller is said here.
//! A tenant's request becomes one or more requests of that credential: what is asked about is looked up first, the rules
//! are applied, and only what they let through is sent, by the UUID that was looked up; answers lose what the caller must
//! not see. What is hidden from a caller is absent for him: one way, one answer.
//!
//! - `case`: one request on its way; the only file that speaks to the federation;
//! - `facts`: whose a thing is;
//! - `refusal`: Ironic's words for what may not be;
//! - `nodes`, `parts` (ports, port groups, volume), `allocations`, `runbooks`: what becomes of each;
//! - `lists`: lists of what a caller can see, `page` by page; `masks`: what is hidden within what he sees.

mod allocations;
pub(crate) mod case;
mod facts;
mod lists;
mod masks;
mod nodes;
mod page;
mod parts;
mod provision;
mod refusal;
mod runbooks;
pub mod serve;
