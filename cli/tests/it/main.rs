//! The built program, as people and scripts run it.

mod basics;
mod copies;
mod damage;
mod exec;
mod listing;
mod opening;
mod output;
mod support;
mod trees;
