//! One Parquet file, written row by row.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
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
    Flag(Vec<bool>),
}

/// A value of a row.
pub(crate) enum Cell {
    Text(ByteArray),
    OptionalText(Option<ByteArray>),
    Number(i64),
    Flag(bool),
}

impl Table {
    /// Begins a table with the columns of this Parquet schema: `binary`, `int64`, and `boolean`. Only `binary` can be
    /// optional.
    pub(crate) fn create(path: PathBuf, columns: &str) -> Result<Self> {
        let schema = parse_message_type(&format!("message row {{ {columns} }}"))?;
        let kinds = columns.split(';').filter_map(|column| {
            let mut words = column.split_whitespace();
            Some((words.next()?, words.next()?))
        });
        let columns = kinds.map(|kind| match kind {
            ("optional", "binary") => Column::OptionalText(Vec::new(), Vec::new()),
            (_, "binary") => Column::Text(Vec::new()),
            (_, "boolean") => Column::Flag(Vec::new()),
            _ => Column::Number(Vec::new()),
        });
        let columns = columns.collect();
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
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

    /// Writes what is left, and gives the file its name: until then nobody takes it for a table.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        let finish = || -> Result<_> {
            self.writer.close()?;
            Ok(fs::rename(unfinished(&self.path), &self.path)?)
        };
        finish().with_context(|| self.path.display().to_string())
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
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
