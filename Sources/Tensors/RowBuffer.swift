/// A float32 matrix that grows by rows: the keys or the values of one layer.
///
/// Capacity grows by half when it is exceeded, so that appending a row at a time costs O(columns) on average.
public final class RowBuffer {
    /// Extent of a row.
    public let columns: Int
    /// Rows in use.
    public private(set) var count = 0
    /// Rows there is room for.
    public private(set) var capacity: Int
    private(set) var floats: UnsafeMutablePointer<Float>

    /// An empty matrix with room for `capacity` rows.
    public init(columns: Int, capacity: Int = 0) {
        self.columns = columns
        self.capacity = capacity
        floats = Self.allocate(capacity * columns)
    }

    deinit { UnsafeMutableRawPointer(floats).deallocate() }

    /// Appends the rows of a float32 matrix with as many columns.
    public func append(_ rows: Tensor) {
        precondition(rows.columns == columns, "\(rows.shape) appended to rows of \(columns)")
        if count + rows.rows > capacity { grow(to: max(count + rows.rows, capacity + capacity / 2)) }
        (floats + count * columns).update(from: rows.floatPointer, count: rows.count)
        count += rows.rows
    }

    /// Forgets all rows from `count` on.
    public func truncate(to count: Int) {
        precondition(0 <= count && count <= self.count)
        self.count = count
    }

    /// A copy of the rows in use, `[count, columns]`.
    public var tensor: Tensor {
        Tensor(shape: [count, columns]) { $0.baseAddress?.update(from: floats, count: count * columns) }
    }

    private func grow(to capacity: Int) {
        let grown = Self.allocate(capacity * columns)
        grown.update(from: floats, count: count * columns)
        UnsafeMutableRawPointer(floats).deallocate()
        floats = grown
        self.capacity = capacity
    }

    private static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
        ComputeContext.current.operations?.add(allocatedBytes: max(count, 1) * 4)
        return UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: max(count, 1))
    }
}
