pub mod app;
pub mod auth;
pub mod cli;
pub mod api {
    pub mod body;
    pub mod collection;
    pub mod fault;
    pub mod header;
    pub mod json;
    pub mod link;
    pub mod microversion;
    pub mod page;
    pub mod query;
    pub mod route;
    pub mod version_document;
}
pub mod config;
pub mod federate;
pub mod gateway;
pub mod health;
pub mod keystone;
pub mod location;
pub mod request;
pub mod systemd;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod locate;
