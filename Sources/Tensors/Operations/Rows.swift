import CKernels

extension Tensor {
    /// The rows with the given indices, widened to float32: an embedding look-up, or the tokens a layer keeps.
    /// - Parameter indices: rows of this `[N, D]` matrix, each in `0..<N`.
    /// - Returns: float32 `[indices.count, D]`.
    public func gatheredRows(_ indices: [Int]) -> Tensor {
        precondition(indices.allSatisfy { 0 <= $0 && $0 < rows }, "a row index is outside 0..<\(rows)")
        let context = ComputeContext.current
        let table = context.table
        let (element, source, columns) = (kernelStorage, rawPointer, columns)
        let rowBytes = elementType.byteCount(of: columns)
        let (result, y) = Tensor.uninitialized(shape: [indices.count, columns])
        context.forEachRows(indices.count, columns: columns) { range in
            for row in range {
                table.widen(element, Int64(columns), source + indices[row] * rowBytes, y + row * columns)
            }
        }
        return isTracking(self) ? result.recordedGather(of: self, indices) : result
    }

    /// The rows with the given indices in a copy, in the type they are stored in.
    /// - Parameter indices: rows of this `[N, D]` matrix, each in `0..<N`.
    /// - Returns: `[indices.count, D]`.
    public func storedRows(_ indices: [Int]) -> Tensor {
        precondition(indices.allSatisfy { 0 <= $0 && $0 < rows }, "a row index is outside 0..<\(rows)")
        let rowBytes = elementType.byteCount(of: columns)
        let storage = TensorStorage(byteCount: indices.count * rowBytes, isHuge: true)
        ComputeContext.current.forEachRows(indices.count, columns: columns) { range in
            for row in range {
                let source = rawPointer + indices[row] * rowBytes
                (storage.base + row * rowBytes).copyMemory(from: source, byteCount: rowBytes)
            }
        }
        return Tensor(
            shape: [indices.count, columns], elementType: elementType, storage: storage, byteOffset: 0)
    }

    /// Weighted sums of rows, such as interpolation makes.
    /// - Parameter taps: for each row of the result, rows of this float32 `[N, D]` matrix and their weights.
    /// - Returns: `[taps.count, D]`.
    public func combinedRows(_ taps: [[(index: Int, weight: Float)]]) -> Tensor {
        let context = ComputeContext.current
        let table = context.table
        let (source, columns) = (floatPointer, columns)
        let (result, y) = Tensor.uninitialized(shape: [taps.count, columns])
        y.update(repeating: 0, count: result.count)
        context.forEachRows(taps.count, columns: columns) { range in
            for row in range {
                let sum = y + row * columns
                for (index, weight) in taps[row] {
                    table.add_scaled(Int64(columns), sum, weight, source + index * columns, sum)
                }
            }
        }
        return isTracking(self) ? result.recordedCombination(of: self, taps) : result
    }

    /// A copy of this matrix in which the given rows are those of `replacement`.
    /// - Parameter indices: rows to replace, one for each row of `replacement`.
    public func replacingRows(_ indices: [Int], with replacement: Tensor) -> Tensor {
        precondition(indices.count == replacement.rows && columns == replacement.columns)
        let (source, columns) = (replacement.floatPointer, columns)
        let (result, y) = Tensor.uninitialized(shape: shape)
        y.update(from: floatPointer, count: count)
        for (row, index) in indices.enumerated() {
            (y + index * columns).update(from: source + row * columns, count: columns)
        }
        return isTracking(self, replacement) ? result.recordedReplacement(in: self, indices, replacement) : result
    }

    /// The rows of all parts, one part after the other, as `[Σ rows, D]` float32.
    public static func concatenatingRows(_ parts: [Tensor]) -> Tensor {
        precondition(!parts.isEmpty && parts.allSatisfy { $0.columns == parts[0].columns }, "parts differ in width")
        let columns = parts[0].columns
        let (result, y) = Tensor.uninitialized(shape: [parts.reduce(0) { $0 + $1.rows }, columns])
        var row = 0
        for part in parts {
            (y + row * columns).update(from: part.floatPointer, count: part.count)
            row += part.rows
        }
        guard parts.contains(where: { $0.node != nil }), !GradientTracking.isPaused else { return result }
        return result.recordedConcatenation(of: parts)
    }

    /// The elements widened to float32; the tensor itself if they are float32 already.
    public var widened: Tensor {
        if elementType == .float32 { return self }  // only float32 is ever tracked
        if elementType == .float64 { return Tensor(floats, shape: shape) }
        let (result, y) = Tensor.uninitialized(shape: shape)
        ComputeContext.current.table.widen(kernelStorage, Int64(count), rawPointer, y)
        return result
    }

    /// Rows and columns of a float32 matrix exchanged.
    public var transposed: Tensor {
        precondition(rank == 2, "a matrix wanted, shape is \(shape)")
        let (x, rows, columns) = (floatPointer, rows, columns)
        let (result, y) = Tensor.uninitialized(shape: [columns, rows])
        for row in 0..<rows {
            for column in 0..<columns { y[column * rows + row] = x[row * columns + column] }
        }
        guard isTracking(self) else { return result }
        return result.recorded(from: [self]) { [node] gradient, pass in pass.add(gradient.transposed, to: node) }
    }
}
