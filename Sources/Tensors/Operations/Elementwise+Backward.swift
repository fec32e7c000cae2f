package import CKernels

// The ways back of the operations on elements and rows.

extension Tensor {
    func recordedSum(_ a: Tensor, _ b: Tensor) -> Tensor {
        recorded(from: [a, b]) { [a = a.node, b = b.node] gradient, pass in
            pass.add(gradient, to: a)
            pass.add(gradient, to: b)
        }
    }

    func recordedProduct(_ a: Tensor, _ b: Tensor) -> Tensor {
        recorded(from: [a, b]) { gradient, pass in
            pass.addProduct(gradient, b, to: a.node)
            pass.addProduct(gradient, a, to: b.node)
        }
    }

    func recordedSiluGate(_ gate: Tensor, _ up: Tensor) -> Tensor {
        recorded(from: [gate, up]) { gradient, pass in
            let context = ComputeContext.current
            let table = context.table
            let (g, u, dy) = (gate.floatPointer, up.floatPointer, gradient.floatPointer)
            let (gateGradient, dg) = Tensor.uninitialized(shape: gate.shape)
            let (upGradient, du) = Tensor.uninitialized(shape: up.shape)
            context.forEachRows(gate.count, columns: 1) { range in
                let at = range.lowerBound
                table.silu_gate_backward(Int64(range.count), g + at, u + at, dy + at, dg + at, du + at)
            }
            pass.add(gateGradient, to: gate.node)
            pass.add(upGradient, to: up.node)
        }
    }

    func recordedActivation(_ activation: Activation, of x: Tensor) -> Tensor {
        recorded(from: [x]) { gradient, pass in
            let context = ComputeContext.current
            let table = context.table
            let (input, dy) = (x.floatPointer, gradient.floatPointer)
            let (result, dx) = Tensor.uninitialized(shape: x.shape)
            context.forEachRows(x.count, columns: 1) { range in
                let at = range.lowerBound
                table.activate_backward(activation.kernel, Int64(range.count), input + at, dy + at, dx + at)
            }
            pass.add(result, to: x.node)
        }
    }

    func recordedRowScaling(of x: Tensor, by factors: Tensor) -> Tensor {
        recorded(from: [x, factors]) { gradient, pass in
            if x.node != nil { pass.add(gradient.scaledRows(by: factors), to: x.node) }
            guard factors.node != nil else { return }
            let context = ComputeContext.current
            let table = context.table
            let (input, dy, columns) = (x.floatPointer, gradient.floatPointer, x.columns)
            let (result, dots) = Tensor.uninitialized(shape: factors.shape)
            context.forEachRows(x.rows, columns: columns) { range in
                for row in range {
                    let (a, b) = (input + row * columns, dy + row * columns)
                    table.product_dots(
                        VLM_F32, 1, 1, Int64(columns), a, Int64(columns), b, Int64(columns), dots + row, 1)
                }
            }
            pass.add(result, to: factors.node)
        }
    }

    func recordedColumnScaling(of x: Tensor, by factors: Tensor) -> Tensor {
        recorded(from: [x, factors]) { gradient, pass in
            if x.node != nil { pass.add(gradient.scaledColumns(by: factors), to: x.node) }
            guard factors.node != nil else { return }
            let (input, dy, columns) = (x.floatPointer, gradient.floatPointer, x.columns)
            let sums = columnSums(rows: x.rows, columns: columns) { table, row, sums in
                table.add_product(Int64(columns), input + row * columns, dy + row * columns, sums)
            }
            pass.add(sums, to: factors.node)
        }
    }
}

extension GradientPass {
    /// Adds a · b, element by element.
    func addProduct(_ a: Tensor, _ b: Tensor, to node: GradientNode?) {
        accumulate(into: node) { target, accumulates in
            let context = ComputeContext.current
            let table = context.table
            let (a, b, count) = (a.floatPointer, b.floatPointer, a.count)
            context.forEachRows(count, columns: 1) { range in
                let (n, at) = (Int64(range.count), range.lowerBound)
                if accumulates {
                    table.add_product(n, a + at, b + at, target + at)
                } else {
                    table.multiply(n, a + at, b + at, target + at)
                }
            }
        }
    }
}

/// Sums over all rows, gathered by blocks of rows that do not depend on the threads and added in their order.
/// - Parameter add: adds what a row gives to `columns` sums.
/// - Returns: `[columns]`.
package func columnSums(
    rows: Int, columns: Int, _ add: (vlm_kernels, _ row: Int, _ sums: UnsafeMutablePointer<Float>) -> Void
) -> Tensor {
    let context = ComputeContext.current
    let table = context.table
    let perTask = max(16, 16_384 / max(columns, 1))
    let tasks = max(1, (rows + perTask - 1) / perTask)
    let parts = Scratch(tasks * columns)
    parts.floats.update(repeating: 0, count: tasks * columns)
    let sums = parts.floats
    context.pool.run(tasks) { task in
        for row in task * perTask..<min(rows, (task + 1) * perTask) { add(table, row, sums + task * columns) }
    }
    for task in 1..<max(tasks, 1) { table.add_scaled(Int64(columns), sums, 1, sums + task * columns, sums) }
    let (result, elements) = Tensor.uninitialized(shape: [columns])
    elements.update(from: sums, count: columns)
    return result
}
