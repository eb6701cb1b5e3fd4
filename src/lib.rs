//! Many independent Ironics as one Bare Metal API: the house plan.
//!
//! A *room* is a file of `src/` with the directory of the same name. A room imports only from lower floors; rooms of
//! one floor do not know each other. `tests/architecture` holds this. From the roof down, which is the order of
//! reading:
//!
//! | floor | rooms | what they are for |
//! |---|---|---|
//! | 10 | `main`, this page | what was typed; exit codes |
//! | 9 | [`app`] | builds everything once, runs it, drains it |
//! | 8 | [`gateway`] | Pingora's phases: the door, the way through the proxy, errors to statuses, answers |
//! |   | [`admin`] | the second door: how the gateway is looked after |
//! |   | [`upkeep`] | beside requests: probes, the sweep, certificates |
//! |   | [`command`] | the command line and the subcommands |
//! |   | [`current`] | what is in force: all that a reload replaces |
//! |   | [`sync`] | the directory brought into step with the locations, and the locations with each other |
//! | 7 | [`tenancy`] | what becomes of a request of somebody who may do some things to some things |
//! |   | [`federate`] | many locations, one API: what becomes of a request, lists, writes |
//! | 6 | [`locate`] | which location has it; the directory of what was seen where |
//! |   | [`request`] | a client's request, understood; an answer before it is written |
//! | 5 | [`auth`] | who is asking, and may they |
//! |   | [`locations`] | the Ironics: may one be asked, how, what did it say; what they have in common |
//! | 4 | [`coordination`] | what gateways in front of the same locations share: claims of unique values, states |
//! |   | [`keystone`] | tokens: ours, kept fresh, and those of others, validated |
//! | 3 | [`wire`] | one bounded exchange with somebody, one answer to a client in few parts |
//! | 2 | [`policy`] | rules and their language: who may do what |
//! |   | [`metrics`], [`telemetry`], [`tls`] | instruments |
//! | 1 | [`config`] | what the operator wrote, valid or not loaded |
//! | 0 | [`api`] | Ironic's words: routes, collections, versions, queries, pages, links, faults |
//! |   | [`oslo`] | oslo.config's rules: files, lines, options, and what is to be said about them |
//! |   | [`lifecycle`] | where the process is in its life |
//! |   | [`control`] | what the running process can be told to do |
//! |   | [`listening`] | sockets that others connect to: opened, inherited, handed on |
//! |   | [`systemd`] | what the service manager is told |
//!
//! What travels between rooms is plain data: a [`request::Request`] once the door has understood it, a
//! [`federate::plan::Plan`] once it is decided what becomes of it, a [`wire::transport::Reply`] of one location, a
//! [`request::Answer`] for the client. Only [`gateway`] and [`app`] name Pingora's proxy; only [`wire::transport`] and that
//! proxy open sockets to an Ironic or a Keystone. What is shared is built once in [`app`] and borrowed.
//!
//! Two requests are followed through the rooms in ARCHITECTURE.md.

pub mod admin;
pub mod api;
pub mod app;
pub mod auth;
pub mod command;
pub mod config;
pub mod control;
pub mod coordination;
pub mod current;
pub mod federate;
pub mod gateway;
pub mod keystone;
pub mod lifecycle;
pub mod listening;
pub mod locate;
pub mod locations;
pub mod metrics;
pub mod oslo;
pub mod policy;
pub mod request;
pub mod sync;
pub mod systemd;
pub mod telemetry;
pub mod tenancy;
pub mod tls;
pub mod upkeep;
pub mod wire;
