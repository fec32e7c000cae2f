import CKernels

// The ways back of moving rows about.

extension Tensor {
    /// Rows that were gathered more than once receive the sum, in the order of the indices.
    func recordedGather(of table: Tensor, _ indices: [Int]) -> Tensor {
        recorded(from: [table]) { [node = table.node, count = table.count] gradient, pass in
            pass.accumulate(into: node) { target, accumulates in
                if !accumulates { target.update(repeating: 0, count: count) }
                let kernels = ComputeContext.current.table
                let (source, columns) = (gradient.floatPointer, gradient.columns)
                for (row, index) in indices.enumerated() {
                    let row = source + row * columns
                    kernels.add_scaled(Int64(columns), target + index * columns, 1, row, target + index * columns)
                }
            }
        }
    }

    func recordedCombination(of table: Tensor, _ taps: [[(index: Int, weight: Float)]]) -> Tensor {
        recorded(from: [table]) { [node = table.node, count = table.count] gradient, pass in
            pass.accumulate(into: node) { target, accumulates in
                if !accumulates { target.update(repeating: 0, count: count) }
                let kernels = ComputeContext.current.table
                let (source, columns) = (gradient.floatPointer, gradient.columns)
                for (row, taps) in taps.enumerated() {
                    for (index, weight) in taps {
                        let sum = target + index * columns
                        kernels.add_scaled(Int64(columns), sum, weight, source + row * columns, sum)
                    }
                }
            }
        }
    }

    func recordedReplacement(in table: Tensor, _ indices: [Int], _ replacement: Tensor) -> Tensor {
        recorded(from: [table, replacement]) { [table = table.node, replacement = replacement.node] gradient, pass in
            pass.add(gradient.gatheredRows(indices), to: replacement)
            guard let table else { return }
            let zeros = Tensor(repeating: 0, shape: [indices.count, gradient.columns])
            pass.add(gradient.replacingRows(indices, with: zeros), to: table)
        }
    }

    func recordedConcatenation(of parts: [Tensor]) -> Tensor {
        let nodes = parts.map(\.node)
        let counts = parts.map(\.rows)
        return recorded(from: parts) { gradient, pass in
            var row = 0
            for (node, count) in zip(nodes, counts) {
                pass.add(gradient[row..<row + count], to: node)
                row += count
            }
        }
    }
}
