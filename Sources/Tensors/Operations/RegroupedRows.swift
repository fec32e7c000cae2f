import Synchronization

/// The rows of a matrix in another order: of every `run` of them first the even ones, then the odd.
///
/// They take no memory of their own until somebody reads their bytes, which copies them. Native products with blocks need no copy.
final class RegroupedRows: Sendable {
    let source: Tensor
    let run: Int
    private let copy = Mutex<TensorStorage?>(nil)

    init(_ source: Tensor, run: Int) {
        self.source = source
        self.run = run
    }

    /// Which row of the source a row is; the next is two rows on, within a half of a run.
    func origin(_ row: Int) -> Int {
        let (start, place) = (row / run * run, row % run)
        return start + 2 * (place % (run / 2)) + place / (run / 2)
    }

    /// The first byte of all of them.
    var bytes: UnsafeMutableRawPointer {
        copy.withLock { copy in
            let made = copy ?? source.storedRows((0..<source.rows).map(origin)).storage
            copy = made
            return made.base
        }
    }
}

extension Tensor {
    /// This `[N, D]` matrix with its rows in another order: of every `run` of them, an even number that divides N, first the even
    /// ones and then the odd.
    public func evenRowsFirst(inRunsOf run: Int) -> Tensor {
        precondition(rank == 2 && run > 0 && run.isMultiple(of: 2) && rows.isMultiple(of: run), "\(shape) by \(run)")
        return Tensor(
            shape: shape, elementType: elementType,
            storage: TensorStorage(RegroupedRows(self, run: run)), byteOffset: 0)
    }
}
