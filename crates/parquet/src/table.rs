//! One Parquet file, written row by row beside its place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

/// A table as it is being written. So many rows are in memory at most; then they are a row group.
pub(crate) struct Table {
    writer: SerializedFileWriter<File>,
    columns: Vec<Column>,
    rows: usize,
    path: PathBuf,
}

const ROWS: usize = 1 << 17;

/// Columns that ascend, most of them: differences are smaller than any table of values.
const ASCENDING: [&str; 6] = [
    "event",
    "elapsed_us",
    "wall_us",
    "at_us",
    "from_us",
    "to_us",
];

/// The values of a row group.
enum Column {
    Text(Vec<ByteArray>),
    /// The texts, and for each row 1 if it has one and 0 if not.
    OptionalText(Vec<ByteArray>, Vec<i16>),
    Number(Vec<i64>),
    /// As optional texts.
    OptionalNumber(Vec<i64>, Vec<i16>),
    Flag(Vec<bool>),
}

/// A value of a row.
pub(crate) enum Cell {
    Text(ByteArray),
    OptionalText(Option<ByteArray>),
    Number(i64),
    OptionalNumber(Option<i64>),
    Flag(bool),
}

/// Which profile a file was made from. It is in the file's metadata.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The machine that exported it.
    pub(crate) host: String,
    /// Its path there, without extension.
    pub(crate) path: String,
    /// When the recording began, in nanoseconds since 1970.
    pub(crate) start: String,
}

const HOST: &str = "heapprof.host";
const PATH: &str = "heapprof.path";
const START: &str = "heapprof.start_ns";

impl Origin {
    /// That of a file; `None` if there is no such file, or none of ours.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let file = SerializedFileReader::new(File::open(path).ok()?).ok()?;
        let metadata = file.metadata().file_metadata().key_value_metadata()?;
        let value = |key| metadata.iter().find(|it| it.key == key)?.value.clone();
        Some(Self {
            host: value(HOST)?,
            path: value(PATH)?,
            start: value(START)?,
        })
    }

    fn metadata(&self) -> Vec<KeyValue> {
        let pairs = [(HOST, &self.host), (PATH, &self.path), (START, &self.start)];
        pairs
            .map(|(key, value)| KeyValue::new(key.to_owned(), value.clone()))
            .to_vec()
    }
}

impl Table {
    /// Begins a table with the columns of this Parquet schema: `binary`, `int64`, and `boolean`. Only `boolean` cannot
    /// be optional.
    pub(crate) fn create(path: PathBuf, columns: &str, origin: &Origin) -> Result<Self> {
        let schema = parse_message_type(&format!("message row {{ {columns} }}"))?;
        let kinds = columns.split(';').filter_map(|column| {
            let mut words = column.split_whitespace();
            Some((words.next()?, words.next()?))
        });
        let columns = kinds.map(|kind| match kind {
            ("optional", "binary") => Column::OptionalText(Vec::new(), Vec::new()),
            ("optional", _) => Column::OptionalNumber(Vec::new(), Vec::new()),
            (_, "binary") => Column::Text(Vec::new()),
            (_, "boolean") => Column::Flag(Vec::new()),
            _ => Column::Number(Vec::new()),
        });
        let columns = columns.collect();
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(origin.metadata()));
        for column in ASCENDING.map(ColumnPath::from) {
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
        let create = || -> Result<_> {
            fs::create_dir_all(folder)?;
            let file = File::create(unfinished(&path))?;
            let properties = Arc::new(properties.build());
            Ok(SerializedFileWriter::new(
                file,
                Arc::new(schema),
                properties,
            )?)
        };
        Ok(Self {
            writer: create().with_context(|| path.display().to_string())?,
            columns,
            rows: 0,
            path,
        })
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) -> Result<()> {
        ensure!(N == self.columns.len(), "a row of {N} cells");
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            match (column, cell) {
                (Column::Text(column), Cell::Text(text)) => column.push(text),
                (Column::OptionalText(column, levels), Cell::OptionalText(text)) => {
                    levels.push(text.is_some().into());
                    column.extend(text);
                }
                (Column::Number(column), Cell::Number(number)) => column.push(number),
                (Column::OptionalNumber(column, levels), Cell::OptionalNumber(number)) => {
                    levels.push(number.is_some().into());
                    column.extend(number);
                }
                (Column::Flag(column), Cell::Flag(flag)) => column.push(flag),
                _ => anyhow::bail!("a cell of another kind than its column"),
            }
        }
        self.rows += 1;
        if self.rows == ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        self.rows = 0;
        let write = |group: &mut SerializedRowGroupWriter<'_, File>, column: &mut Column| {
            if let Some(mut writer) = group.next_column()? {
                match column {
                    Column::Text(values) => {
                        let typed = writer.typed::<ByteArrayType>();
                        typed.write_batch(values, None, None)?;
                        values.clear();
                    }
                    Column::OptionalText(values, levels) => {
                        let typed = writer.typed::<ByteArrayType>();
                        typed.write_batch(values, Some(levels), None)?;
                        values.clear();
                        levels.clear();
                    }
                    Column::Number(values) => {
                        let typed = writer.typed::<Int64Type>();
                        typed.write_batch(values, None, None)?;
                        values.clear();
                    }
                    Column::OptionalNumber(values, levels) => {
                        let typed = writer.typed::<Int64Type>();
                        typed.write_batch(values, Some(levels), None)?;
                        values.clear();
                        levels.clear();
                    }
                    Column::Flag(values) => {
                        let typed = writer.typed::<BoolType>();
                        typed.write_batch(values, None, None)?;
                        values.clear();
                    }
                }
                writer.close()?;
            }
            anyhow::Ok(())
        };
        let mut group = self.writer.next_row_group()?;
        self.columns
            .iter_mut()
            .try_for_each(|column| write(&mut group, column))
            .with_context(|| self.path.display().to_string())?;
        group.close()?;
        Ok(())
    }

    /// Writes what is left. The file still has to be [published](Unpublished::publish).
    pub(crate) fn finish(mut self) -> Result<Unpublished> {
        if self.rows > 0 {
            self.write_group()?;
        }
        let path = self.path;
        self.writer
            .close()
            .with_context(|| path.display().to_string())?;
        Ok(Unpublished(path))
    }
}

/// A file that is whole and does not have its name yet: until then nobody takes it for a table.
#[derive(Debug)]
pub(crate) struct Unpublished(PathBuf);

impl Unpublished {
    pub(crate) fn publish(self) -> Result<()> {
        fs::rename(unfinished(&self.0), &self.0).with_context(|| self.0.display().to_string())
    }
}

/// Where a file is written. Spark, pandas and a pattern of `*.parquet` pass it over.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

impl From<&ByteArray> for Cell {
    fn from(text: &ByteArray) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        Self::OptionalText(text.map(ByteArray::from))
    }
}

impl From<Option<u32>> for Cell {
    fn from(number: Option<u32>) -> Self {
        Self::OptionalNumber(number.map(i64::from))
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for Cell {
            fn from(number: $number) -> Self {
                Self::Number(number.try_into().unwrap_or(i64::MAX))
            }
        }
    )*};
}

numbers!(i64 u32 u64 u128 usize);
