//! A small shop, to have something to record: orders come in as text and several threads fill them.
//! Its cache is bounded, its sessions leak, and once a month there is a report.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::mem;
use std::sync::{Arc, Mutex};
use std::thread;

use fastrand::Rng;

/// How many customers the cache has room for.
const ROOM: usize = 2_000;

/// All that outlives an order.
#[derive(Default)]
pub(crate) struct Shop {
    cache: Mutex<HashMap<u64, Arc<Customer>>>,
    /// One for each tenth order, and none is ever closed.
    sessions: Mutex<Vec<Session>>,
    journal: Mutex<Vec<String>>,
}

struct Customer {
    name: String,
    address: Vec<u8>,
}

struct Session {
    _key: Box<[u8; 96]>,
    _customer: Arc<Customer>,
}

/// What a thread did. It is told to the journal when the thread ends.
struct Diary {
    shop: Option<Arc<Shop>>,
    filled: u64,
}

thread_local! {
    static DIARY: RefCell<Diary> = const { RefCell::new(Diary { shop: None, filled: 0 }) };
}

impl Drop for Diary {
    fn drop(&mut self) {
        // This allocates while the thread's own variables go.
        if let Some(shop) = &self.shop {
            let line = format!("{:?} filled {}", thread::current().id(), self.filled);
            shop.journal.lock().unwrap().push(line);
        }
    }
}

impl Shop {
    /// Fills so many orders with so many threads.
    pub(crate) fn open(orders: u64, threads: u64) -> Arc<Self> {
        let shop = Arc::new(Self::default());
        thread::scope(|scope| {
            let shift = |number| {
                let shop = &shop;
                scope.spawn(move || shop.shift(number, orders / threads))
            };
            let clerks: Vec<_> = (0..threads).map(shift).collect();
            for clerk in clerks {
                // The end of the scope would not wait for what threads do as they end.
                clerk.join().unwrap();
            }
        });
        shop
    }

    /// How many sessions there are, and how much the journal says.
    pub(crate) fn closing(&self) -> (usize, usize) {
        let sessions = self.sessions.lock().unwrap().len();
        (sessions, self.journal.lock().unwrap().len())
    }

    fn shift(self: &Arc<Self>, number: u64, orders: u64) {
        let mut rng = Rng::with_seed(number);
        for order in 0..orders {
            let text = order_text(&mut rng);
            let total = self.fill(&text);
            if order % 10 == 0 {
                self.greet(order % 5_000 + total % 7);
            }
            if number == 0 && order == orders / 2 {
                monthly_report((8 * orders).min(80_000));
            }
            DIARY.with_borrow_mut(|diary| {
                diary.shop.get_or_insert_with(|| self.clone());
                diary.filled += 1;
            });
        }
    }

    fn fill(&self, text: &str) -> u64 {
        let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
        let mut fields = text.split(';');
        let customer = fields.next().and_then(|id| id.parse().ok());
        for item in fields {
            let (name, count) = item.split_once('=').unwrap_or((item, "1"));
            *wanted.entry(name).or_default() += count.parse().unwrap_or(1);
        }
        let customer = self.customer(customer.unwrap_or(0));
        let mut bill = format!("{}:", customer.name);
        for (name, count) in &wanted {
            let _ = write!(bill, " {count} {name}");
        }
        bill.len() as u64 + u64::from(customer.address[0])
    }

    fn customer(&self, id: u64) -> Arc<Customer> {
        let mut cache = self.cache.lock().unwrap();
        if cache.len() == ROOM {
            cache.retain(|&known, _| known % 2 == id % 2);
        }
        let make = || Customer {
            name: format!("customer {id}"),
            address: vec![7; 100 + usize::try_from(id % 200).unwrap_or(0)],
        };
        cache.entry(id).or_insert_with(|| Arc::new(make())).clone()
    }

    fn greet(&self, id: u64) {
        let customer = self.customer(id);
        self.sessions.lock().unwrap().push(Session {
            _key: Box::new([0; 96]),
            _customer: customer,
        });
    }
}

/// Something like `17;bolt=3;nut=5`.
fn order_text(rng: &mut Rng) -> String {
    let mut text = rng.u64(..10_000).to_string();
    for _ in 0..rng.u32(1..12) {
        let name = ["bolt", "nut", "washer", "screw", "nail"][rng.usize(..5)];
        let _ = write!(text, ";{name}={}", rng.u32(1..100));
    }
    text
}

/// Takes a lot of memory for a moment.
fn monthly_report(rows: u64) -> usize {
    let mut lines: Vec<String> = (0..rows)
        .map(|row| format!("{:>24} {:>24} {:>24}", row % 977, row % 41, row))
        .collect();
    lines.sort_unstable();
    mem::take(&mut lines).join("\n").len()
}
