package import Foundation

extension Tensor {
    /// Whether the elements are read in place from a mapped file.
    package var isMapped: Bool { storage.isMapped }

    /// Writes the elements' bytes in row-major order at the current position of `file`.
    package func write(to file: FileHandle) throws {
        try withBytes { bytes in
            guard let start = bytes.baseAddress, bytes.count > 0 else { return }
            try file.write(
                contentsOf: Data(
                    bytesNoCopy: UnsafeMutableRawPointer(mutating: start), count: bytes.count, deallocator: .none))
        }
    }

    /// A tensor in memory of its own, gathered from elements of a mapped file that lie `strides` elements apart.
    ///
    /// A stride of 0 repeats elements, so the result can be larger than the file: the caller bounds `shape`.
    /// - Throws: `TensorError.shape` if an extent or a stride is negative or the size overflows,
    ///   `TensorError.outOfBounds` if an element lies outside the file.
    package init(
        named name: String, gathering file: MemoryMappedFile, at byteOffset: Int, shape: [Int], strides: [Int],
        elementType: ElementType
    ) throws {
        precondition(!elementType.isBlockQuantized, "blocks of \(elementType.rawValue) have no strides")
        let byteCount = try Self.byteCount(named: name, shape: shape, elementType: elementType)
        guard strides.count == shape.count, strides.allSatisfy({ $0 >= 0 }) else {
            throw TensorError.shape(name: name, expected: shape, got: strides)
        }
        let size = elementType.byteCount
        guard byteCount > 0 else {
            self.init(
                shape: shape, elementType: elementType, storage: TensorStorage(byteCount: 0), byteOffset: 0)
            return
        }

        let outOfBounds = TensorError.outOfBounds(
            name: name, offset: byteOffset, byteCount: byteCount, available: file.byteCount)
        var end = size
        for (extent, stride) in zip(shape, strides) {
            let (distance, overflow1) = (extent - 1).multipliedReportingOverflow(by: stride)
            let (bytes, overflow2) = distance.multipliedReportingOverflow(by: size)
            let (sum, overflow3) = end.addingReportingOverflow(bytes)
            guard !overflow1, !overflow2, !overflow3 else { throw outOfBounds }
            end = sum
        }
        guard byteOffset >= 0, byteOffset <= file.byteCount, end <= file.byteCount - byteOffset else {
            throw outOfBounds
        }

        let storage = TensorStorage(byteCount: byteCount)
        let source = file.base + byteOffset
        withExtendedLifetime(file) {
            switch size {
            case 1: Self.gather(source, as: UInt8.self, shape: shape, strides: strides, into: storage.base)
            case 2: Self.gather(source, as: UInt16.self, shape: shape, strides: strides, into: storage.base)
            case 4: Self.gather(source, as: UInt32.self, shape: shape, strides: strides, into: storage.base)
            default: Self.gather(source, as: UInt64.self, shape: shape, strides: strides, into: storage.base)
            }
        }
        self.init(shape: shape, elementType: elementType, storage: storage, byteOffset: 0)
    }

    /// Copies strided elements, row by row of the last dimension; no extent is 0.
    private static func gather<Element: BitwiseCopyable>(
        _ source: UnsafeRawPointer, as type: Element.Type, shape: [Int], strides: [Int],
        into destination: UnsafeMutableRawPointer
    ) {
        let size = MemoryLayout<Element>.size
        let columns = shape.last ?? 1
        let columnStride = (strides.last ?? 1) * size
        var index = [Int](repeating: 0, count: max(shape.count - 1, 0))
        var row = source
        var target = destination
        while true {
            for column in 0..<columns {
                target.storeBytes(of: row.loadUnaligned(fromByteOffset: column * columnStride, as: type), as: type)
                target += size
            }
            var dimension = index.count - 1
            while dimension >= 0 {
                row += strides[dimension] * size
                index[dimension] += 1
                if index[dimension] < shape[dimension] { break }
                row -= shape[dimension] * strides[dimension] * size
                index[dimension] = 0
                dimension -= 1
            }
            if dimension < 0 { return }
        }
    }
}
