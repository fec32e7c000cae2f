import Foundation

/// What a photograph of Fashion-MNIST shows.
public enum FashionKind: UInt8, CaseIterable, Sendable {
    /// In the order of the labels 0 to 9.
    case tShirt, trousers, pullover, dress, coat, sandal, shirt, sneaker, bag, boot

    /// The word for it.
    public var name: String { self == .tShirt ? "t-shirt" : "\(self)" }
    /// The word for several.
    public var plural: String {
        switch self {
        case .trousers: "trousers"
        case .dress: "dresses"
        default: name + "s"
        }
    }
}

/// The photographs of Fashion-MNIST: 28 x 28 pixels of grey, one article of clothing each.
///
/// Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST" (2017); files as in Debian's `dataset-fashion-mnist`.
public struct FashionPhotos: Sendable {
    /// Width and height of a photograph.
    public static let side = 28

    /// What every photograph shows.
    public let kinds: [FashionKind]
    /// [count, 28, 28], 0 the ground.
    let pixels: [UInt8]

    /// The photographs of `directory` that a split may use: of the training file every twelfth is for validation and the
    /// rest for training; the test file's are for test alone.
    ///
    /// - Throws: `DataError`; `.noSuchSplit` for the held-out split.
    public init(directory: String, split: DataSplit) throws {
        guard split != .heldOut else {
            throw DataError.noSuchSplit(dataset: "fashion", split: split, available: [.train, .validation, .test])
        }
        let prefix = split == .test ? "t10k" : "train"
        func path(_ name: String) -> String {
            URL(filePath: directory).appending(path: "\(prefix)-\(name)-ubyte.gz").path
        }
        let images = try IDXFile(contentsOf: path("images-idx3"), shape: [nil, Self.side, Self.side])
        let labels = try IDXFile(contentsOf: path("labels-idx1"), shape: [images.shape[0]])
        try self.init(images, labels, split: split, path: path("labels-idx1"))
    }

    init(_ images: IDXFile, _ labels: IDXFile, split: DataSplit, path: String) throws {
        let taken = labels.bytes.indices.filter { index in
            switch split {
            case .train: !index.isMultiple(of: 12)
            case .validation: index.isMultiple(of: 12)
            case .test, .heldOut: true
            }
        }
        kinds = try taken.map { index in
            guard let kind = FashionKind(rawValue: labels.bytes[index]) else {
                throw DataError.damaged(
                    file: path, part: "label \(index)", expected: "0 to 9", got: "\(labels.bytes[index])")
            }
            return kind
        }
        let area = Self.side * Self.side
        var pixels: [UInt8] = []
        pixels.reserveCapacity(taken.count * area)
        for index in taken { pixels += images.bytes[(index * area)..<((index + 1) * area)] }
        self.pixels = pixels
    }

    /// The number of photographs.
    public var count: Int { kinds.count }
}
