internal import Tensors

/// Makes tensors of the views that a pickle describes.
struct TensorViews {
    private let archive: ZipArchive
    private let root: String
    private let machine: PickleMachine
    /// Where each storage lies, once it has been looked up.
    private var ranges: [String: Range<Int>] = [:]
    /// Copies of strided views, so that one named twice is copied once.
    private var copies: [Copy: Tensor] = [:]
    /// Bytes that copies may still take. Strides of 0 make views larger than the file; weights have no need of that.
    private var budget: Int

    private struct Copy: Hashable {
        /// In the file.
        var offset: Int
        var shape: [Int]
        var strides: [Int]
        var elementType: ElementType
    }

    init(archive: ZipArchive, root: String, machine: PickleMachine) {
        self.archive = archive
        self.root = root
        self.machine = machine
        budget = archive.file.byteCount
    }

    /// The tensor of view `index` of the machine: in place if it is contiguous, a copy otherwise.
    mutating func tensor(_ index: Int, named name: String) throws -> Tensor {
        let file = archive.file
        let view = machine.tensors[index]
        let storage = machine.storages[view.storage]
        let elementType = storage.elementType
        let byteCount = try TensorShape.byteCount(view.shape, elementType, file: file.path, tensor: name)
        let range = try range(of: storage, tensor: name)
        try check(view, storage, tensor: name)
        if byteCount == 0 { return Tensor(copying: [], shape: view.shape, elementType: elementType) }

        // The check above has shown that these do not overflow and lie inside the storage.
        let offset = range.lowerBound + view.offset * elementType.byteCount
        let isContiguous = Self.isContiguous(view)
        if isContiguous, offset.isMultiple(of: elementType.byteCount) {
            return try Tensor(named: name, mapping: file, at: offset, shape: view.shape, elementType: elementType)
        }
        let key = Copy(offset: offset, shape: view.shape, strides: view.strides, elementType: elementType)
        if let copy = copies[key] { return copy }
        guard byteCount <= budget else {
            throw CheckpointError.copiesTooLarge(file: file.path, tensor: name, wanted: byteCount, available: budget)
        }
        budget -= byteCount
        let copy = try Tensor(
            named: name, gathering: file, at: offset, shape: view.shape, strides: view.strides, elementType: elementType
        )
        copies[key] = copy
        return copy
    }

    /// The place of a storage's entry, which must hold all of its elements.
    private mutating func range(of storage: PickleMachine.Storage, tensor: String) throws -> Range<Int> {
        let name = "\(root)data/\(storage.key)"
        let range: Range<Int>
        if let known = ranges[name] {
            range = known
        } else {
            guard let entry = archive.entries[name] else {
                throw CheckpointError.damaged(
                    file: archive.file.path, part: "data.pkl", offset: 0,
                    expected: "an entry \(name) for tensor \(tensor)",
                    got: "none")
            }
            range = try archive.range(of: entry)
            ranges[name] = range
        }
        guard storage.count <= range.count / storage.elementType.byteCount else {
            let (wanted, overflow) = storage.count.multipliedReportingOverflow(by: storage.elementType.byteCount)
            throw CheckpointError.tensorByteCount(
                file: archive.file.path, tensor: tensor, expected: overflow ? .max : wanted, got: range.count)
        }
        return range
    }

    /// Throws unless every element of the view is one of the storage's.
    private func check(_ view: PickleMachine.TensorView, _ storage: PickleMachine.Storage, tensor: String) throws {
        var end = view.offset
        var overflow = view.offset < 0 || view.strides.contains { $0 < 0 }
        if !view.shape.contains(0) {
            for (extent, stride) in zip(view.shape, view.strides) {
                let distance = (extent - 1).multipliedReportingOverflow(by: stride)
                let sum = end.addingReportingOverflow(distance.partialValue)
                overflow = overflow || distance.overflow || sum.overflow
                end = sum.partialValue
            }
            let sum = end.addingReportingOverflow(1)
            overflow = overflow || sum.overflow
            end = sum.partialValue
        }
        guard !overflow, end <= storage.count else {
            let size = storage.elementType.byteCount
            throw CheckpointError.tensorOutOfBounds(
                file: archive.file.path, tensor: tensor, begin: view.offset.multipliedSaturating(by: size),
                end: overflow ? .max : end.multipliedSaturating(by: size),
                available: storage.count * size)
        }
    }

    /// Whether the elements lie one after the other in row-major order; strides of extents of 1 do not matter.
    private static func isContiguous(_ view: PickleMachine.TensorView) -> Bool {
        var expected = 1
        for (extent, stride) in zip(view.shape, view.strides).reversed() where extent != 1 {
            if stride != expected { return false }
            expected *= extent
        }
        return true
    }
}

extension Int {
    /// The product, or the number closest to it.
    fileprivate func multipliedSaturating(by other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
    }
}
