//! [`TimeSeries`]: how the memory of a line, of a trace, or of everything changes over time.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::digest::Digest;
use crate::error::{Result, Taint};
use crate::id::{FrameId, Id, TraceId};
use crate::id_vec::{DenseId, IdVec};
use crate::query::Track;
use crate::reader::Reader;
use crate::time::Elapsed;
use crate::trace::TraceTable;
use crate::usage::saturated;

/// Live bytes at each snapshot of a digest: the total, and each track that was given.
///
/// ```
/// use heapprof::query::Track;
/// use heapprof::{Frame, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let line = Frame::parse("/srv/app/workloads/shop/customers.py:11")?;
/// let leak = reader.traces()?.find(line).unwrap();
/// let series = reader.time_series([Track::Cumulative(leak)])?;
///
/// assert_eq!(series.total().last(), Some(8_334_103));
/// assert_eq!(series.get(0).unwrap().last(), Some(8_149_808));
/// assert_eq!(format!("{:.3}", series.fractions(0).last().unwrap()), "0.978");
/// # Ok::<(), heapprof::Error>(())
/// ```
#[doc(alias("timePlot", "pyplot", "temporal"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSeries {
    times: Vec<Elapsed>,
    total: Vec<i64>,
    tracks: Vec<(Track, Vec<i64>)>,
    damaged: Taint,
}

/// Values over time.
///
/// ```
/// use heapprof::{Elapsed, Reader};
///
/// let reader = Reader::open("examples/data/demo")?;
/// let series = reader.time_series([])?;
/// let total = series.total();
/// assert_eq!((total.len(), total.first(), total.last()), (436, Some(111_915), Some(8_334_103)));
/// assert_eq!(total.at(Elapsed::from_millis(12_020)), Some(14_452_555));
/// assert_eq!(total.largest(), Some((Elapsed::from_millis(12_700), 14_521_331)));
/// # Ok::<(), heapprof::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'a> {
    times: &'a [Elapsed],
    values: &'a [i64],
    damaged: Taint,
}

impl TimeSeries {
    /// Follows the tracks through a digest, in one pass over its snapshots. The lines of the tracks are those of
    /// `traces`, which can be a regrouped table:
    ///
    /// ```
    /// use heapprof::query::Track;
    /// use heapprof::view::TimeSeries;
    /// use heapprof::Reader;
    ///
    /// let reader = Reader::open("examples/data/demo")?;
    /// let by_file = reader.traces()?.by_file();
    /// let file = by_file.search("customers.py")[0];
    /// let series = TimeSeries::new(&reader.digest()?, &by_file, [Track::Cumulative(file)])?;
    /// assert_eq!(series.get(0).unwrap().last(), Some(8_274_572));
    /// # Ok::<(), heapprof::Error>(())
    /// ```
    ///
    /// Memory: 4 bytes for each trace of
    /// the table, 8 bytes for each track and snapshot, and 4 bytes for each track in each different set of
    /// tracks that counts a trace.
    ///
    /// # Errors
    /// If the bytes of the digest are damaged.
    pub fn new(digest: &Digest, traces: &TraceTable, tracks: impl AsRef<[Track]>) -> Result<Self> {
        let tracks = tracks.as_ref();
        let tracks_of = TracksOf::new(traces, tracks);
        let mut series = Self {
            times: digest.times().collect(),
            total: Vec::with_capacity(digest.len()),
            tracks: tracks
                .iter()
                .map(|&track| (track, Vec::with_capacity(digest.len())))
                .collect(),
            damaged: digest.damaged() | traces.damaged(),
        };
        let mut sums = IdVec::<TrackId, i128>::defaults(tracks.len());
        for equal in digest.runs() {
            let mut total = 0_i128;
            sums.values_mut().fill(0);
            digest.visit(equal.start, |trace, bytes| {
                let bytes = i128::from(bytes);
                total += bytes;
                for &track in tracks_of.get(trace) {
                    sums.update(track, |sum| *sum += bytes);
                }
            })?;
            series.total.resize(equal.end, saturated(total));
            for ((_, values), &sum) in series.tracks.iter_mut().zip(sums.values()) {
                values.resize(equal.end, saturated(sum));
            }
        }
        Ok(series)
    }

    /// The time of each value.
    pub fn times(&self) -> &[Elapsed] {
        &self.times
    }

    /// The number of tracks, without the total.
    pub fn track_count(&self) -> usize {
        self.tracks.len()
    }

    /// All live bytes.
    #[doc(alias = "totalUsage")]
    pub fn total(&self) -> Series<'_> {
        self.series(&self.total)
    }

    /// The live bytes of a track, in the order in which the tracks were given.
    pub fn get(&self, place: usize) -> Option<Series<'_>> {
        let (_, values) = self.tracks.get(place)?;
        Some(self.series(values))
    }

    fn series<'a>(&'a self, values: &'a [i64]) -> Series<'a> {
        Series {
            damaged: self.damaged,
            ..Series::new(&self.times, values)
        }
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input.
    pub fn is_damaged(&self) -> bool {
        self.damaged.0
    }

    /// The tracks with their live bytes, in the order in which they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Track, Series<'_>)> {
        self.tracks
            .iter()
            .map(|(track, values)| (*track, self.series(values)))
    }

    /// A track's fraction of all live bytes at each time; 0 at times when nothing is live. Empty for a track
    /// that was not given.
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    pub fn fractions(&self, place: usize) -> impl Iterator<Item = f64> {
        let values = self.tracks.get(place).map_or(&[][..], |(_, values)| values);
        values.iter().zip(&self.total).map(|(&value, &total)| {
            if total == 0 {
                0.0
            } else {
                value as f64 / total as f64
            }
        })
    }
}

impl<'a> Series<'a> {
    /// Values at ascending times. If there are more of one than of the other, the rest is left out.
    pub fn new(times: &'a [Elapsed], values: &'a [i64]) -> Self {
        let len = times.len().min(values.len());
        Self {
            times: times.get(..len).unwrap_or_default(),
            values: values.get(..len).unwrap_or_default(),
            damaged: Taint(false),
        }
    }

    /// Whether it is derived from [damaged](crate::Usage::is_damaged) input; not if it is
    /// [made](Self::new) from plain values.
    pub const fn is_damaged(self) -> bool {
        self.damaged.0
    }

    /// The number of values.
    pub const fn len(self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.values.is_empty()
    }

    /// The times.
    pub const fn times(self) -> &'a [Elapsed] {
        self.times
    }

    /// The values.
    pub const fn values(self) -> &'a [i64] {
        self.values
    }

    /// Times and values.
    pub fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = (Elapsed, i64)> + ExactSizeIterator + Clone + use<'a> {
        self.into_iter()
    }

    /// The first value.
    pub fn first(self) -> Option<i64> {
        self.values.first().copied()
    }

    /// The last value.
    pub fn last(self) -> Option<i64> {
        self.values.last().copied()
    }

    /// The latest value at or before `time`; `None` before the first. O(log values).
    pub fn at(self, time: impl Into<Elapsed>) -> Option<i64> {
        let time = time.into();
        let after = self.times.partition_point(|&at| at <= time);
        self.values.get(after.checked_sub(1)?).copied()
    }

    /// The largest value and the first time it is reached.
    ///
    /// ```
    /// use heapprof::view::Series;
    /// use heapprof::Elapsed;
    ///
    /// let times = [1, 2, 3].map(Elapsed::from_secs);
    /// let series = Series::new(&times, &[5, 9, 9]);
    /// assert_eq!(series.largest(), Some((Elapsed::from_secs(2), 9)));
    /// ```
    pub fn largest(self) -> Option<(Elapsed, i64)> {
        self.iter().rev().max_by_key(|&(_, value)| value)
    }
}

/// Times and values.
impl<'a> IntoIterator for Series<'a> {
    type Item = (Elapsed, i64);
    type IntoIter = std::iter::Zip<
        std::iter::Copied<std::slice::Iter<'a, Elapsed>>,
        std::iter::Copied<std::slice::Iter<'a, i64>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.times.iter().copied().zip(self.values.iter().copied())
    }
}

/// For each trace the tracks that count it.
struct TracksOf {
    /// The list of each trace of the table, by trace index; 0 is unknown.
    lists_of: Box<[ListId]>,
    lists: TrackLists,
    /// The lists of traces that the table does not have, but a track follows.
    overflow: HashMap<u32, ListId>,
    /// The list of all other traces that the table does not have.
    unknown: ListId,
}

type TrackList = SmallVec<[TrackId; 4]>;

/// A track, by its index among all that were given.
type TrackId = DenseId<TrackKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct TrackKind;

/// A list of [`TrackLists`]. The default is the list of no track.
type ListId = DenseId<ListKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct ListKind;

/// Lists of tracks, each list once.
struct TrackLists {
    lists: IdVec<ListId, TrackList>,
    ids: HashMap<TrackList, ListId>,
}

impl TrackLists {
    fn new() -> Self {
        Self {
            lists: IdVec::from_vec(vec![TrackList::new()]),
            ids: HashMap::from_iter([(TrackList::new(), ListId::default())]),
        }
    }

    /// The list of another list's tracks and these.
    fn with(&mut self, list: ListId, more: &[TrackId]) -> ListId {
        if more.is_empty() {
            return list;
        }
        let mut both: TrackList = self.get(list).iter().chain(more).copied().collect();
        both.sort_unstable();
        both.dedup();
        let Self { lists, ids } = self;
        *ids.entry(both)
            .or_insert_with_key(|both| lists.push(both.clone()))
    }

    #[inline]
    fn get(&self, list: ListId) -> &[TrackId] {
        self.lists.find(list).map_or(&[], |list| list)
    }
}

impl TracksOf {
    fn new(traces: &TraceTable, tracks: &[Track]) -> Self {
        let mut local = IdVec::<FrameId, _>::filled(traces.frame_count(), TrackList::new());
        let mut cumulative = local.clone();
        let mut of_trace: HashMap<TraceId, TrackList> = HashMap::new();
        let mut of_unknown = TrackList::new();
        for (index, &track) in tracks.iter().enumerate() {
            let id = TrackId::from_index(index);
            // A line of another table is in no stack of this one.
            match track {
                Track::Trace(trace) => of_trace.entry(trace).or_default().push(id),
                Track::Local(line) => local.update(line, |list| list.push(id)),
                Track::Cumulative(line) => cumulative.update(line, |list| list.push(id)),
                Track::Unknown => of_unknown.push(id),
            }
        }
        let of_line = |lists: &IdVec<FrameId, TrackList>, line| lists.find(line).cloned();
        let mut lists = TrackLists::new();
        let nodes = traces.tree().map_nodes(ListId::default(), |parent, line| {
            lists.with(parent, &of_line(&cumulative, line).unwrap_or_default())
        });
        let unknown = lists.with(ListId::default(), &of_unknown);
        let mut lists_of = vec![unknown];
        for (trace, _) in traces.iter() {
            let node = traces.node_of(Some(trace));
            let list = match traces.tree().frame(node) {
                Some(line) => {
                    let local = of_line(&local, line).unwrap_or_default();
                    lists.with(nodes.get(node), &local)
                }
                None => unknown,
            };
            let own = of_trace.remove(&trace).unwrap_or_default();
            lists_of.push(lists.with(list, &own));
        }
        let overflow = of_trace
            .into_iter()
            .map(|(trace, list)| (trace.get(), lists.with(unknown, &list)))
            .collect();
        Self {
            lists_of: lists_of.into_boxed_slice(),
            lists,
            overflow,
            unknown,
        }
    }

    #[inline]
    fn get(&self, trace: Option<TraceId>) -> &[TrackId] {
        let index = TraceId::to_disk(trace);
        let list = match self.lists_of.get(index as usize) {
            Some(&list) => list,
            None => self.overflow.get(&index).copied().unwrap_or(self.unknown),
        };
        self.lists.get(list)
    }
}

impl Reader {
    /// Follows traces and lines of [`traces`](Self::traces) through the [digest](Self::digest): see [`TimeSeries`]. For
    /// lines of a regrouped table, such as functions, use [`TimeSeries::new`] with that table. For another interval than
    /// that digest's, give the reader [one that has it](Self::with_digest).
    ///
    /// # Errors
    /// As [`digest`](Self::digest), or if its bytes are damaged.
    #[doc(alias = "timePlot")]
    pub fn time_series(&self, tracks: impl AsRef<[Track]>) -> Result<TimeSeries> {
        TimeSeries::new(&self.digest()?, self.traces()?, tracks)
    }
}
