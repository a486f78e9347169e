//! The handlers of the service. One of them keeps each request it has seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde_json::{Value, json};

/// What outlives a request.
#[derive(Default)]
pub(crate) struct State {
    /// Keeps every request: the planted leak.
    audit: Mutex<Vec<Value>>,
    /// The last requests, bounded.
    recent: Mutex<VecDeque<Value>>,
    visits: Mutex<HashMap<String, u64>>,
}

/// The number of requests that `State::recent` keeps.
const RECENT: usize = 20;

pub(crate) async fn handle(state: &State, body: &str) -> String {
    if body.len().is_multiple_of(5) {
        remember(state, body);
    }
    tokio::task::yield_now().await;
    visit(state, body)
}

fn remember(state: &State, body: &str) {
    let parsed: Value = serde_json::from_str(body).unwrap(); // the planted line
    state.audit.lock().unwrap().push(parsed);
}

fn visit(state: &State, body: &str) -> String {
    let parsed: Value = serde_json::from_str(body).unwrap();
    let user = parsed["user"].as_str().unwrap().to_owned();
    let count = {
        let mut visits = state.visits.lock().unwrap();
        let count = visits.entry(user).or_default();
        *count += 1;
        *count
    };
    let mut recent = state.recent.lock().unwrap();
    recent.push_back(parsed);
    if recent.len() > RECENT {
        recent.pop_front();
    }
    json!({ "visits": count }).to_string()
}
