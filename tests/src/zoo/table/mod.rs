//! All situations, by kind.

mod closing;
mod database;
mod download;
mod keepalive;
mod on_path;
mod opening;
mod ordinary;
mod server;
mod tls;
mod upload;
mod waiting;

use super::situation::Situation;

/// Every situation, in the order in which they are shown.
pub fn all() -> Vec<Situation> {
    [
        ordinary::situations(),
        tls::situations(),
        keepalive::situations(),
        waiting::situations(),
        download::situations(),
        upload::situations(),
        server::situations(),
        opening::situations(),
        on_path::situations(),
        closing::situations(),
        database::situations(),
    ]
    .concat()
}
