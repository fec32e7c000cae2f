import Foundation
import ModelFiles
import Tensors
public import VisionEncoder

/// What a vision tower made of pictures, kept in a directory: a picture that comes again is not encoded again.
///
/// A file's name is a digest of all that decides its content: the pixels as the tower takes them, and so the picture and its
/// preprocessing; the files of the tower's weights; the hidden state and the tokens of it that are features; and how products
/// are computed. A file that is damaged or does not fit is the same as none. When the files are more than `limit` bytes, those
/// that were not used for the longest time are removed.
public struct FeatureCache: Sendable {
    private let directory: URL
    private let limit: Int

    /// The cache in a directory, which is made when the first features are kept.
    /// - Parameter limit: the most bytes of its files.
    public init(directory: String, limit: Int = 1 << 30) {
        self.directory = URL(filePath: directory)
        self.limit = limit
    }

    /// Features of a processed image: those that were kept, or new ones, which are kept.
    /// - Throws: What encoding throws, and `CheckpointError.unwritable` if they cannot be kept.
    public func features(of image: ProcessedImage, _ model: LLaVAModel) throws -> LLaVAModel.Features {
        guard let vision = model.vision else { throw LLaVAError.textOnly(checkpoint: model.path) }
        let file = directory.appending(path: "\(Self.key(of: image, vision, model.quantization)).safetensors")
        if let kept = Self.read(file, views: image.pixelValues.shape[0]) {
            try? FileManager.default.setAttributes([.modificationDate: Date()], ofItemAtPath: file.path)
            return LLaVAModel.Features(tensor: kept, image: image)
        }
        let features = try model.encode(image)
        do { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) } catch {
            throw CheckpointError.unwritable(path: directory.path, reason: error.localizedDescription)
        }
        try SafetensorsWriter.write([Self.name: features.tensor], to: file.path)
        trim(keeping: file)
        return features
    }

    private static let name = "features"

    private static func key(
        of image: ProcessedImage, _ vision: LLaVAModel.Vision, _ quantization: Quantization
    ) -> String {
        let digest = SHA256()
        let context = ComputeContext.current
        digest.update("\(FileStamp.of(URL(filePath: vision.weightsPath).standardizedFileURL.path))\n")
        digest.update("\(vision.hiddenStateIndex) \(vision.featureSelection.rawValue)\n")
        let blocks = quantization.encoder?.rawValue ?? ""
        digest.update("\(context.kernels.name) \(context.quantizedProducts.rawValue) \(blocks)\n")
        digest.update("\(image.pixelValues.shape)\n")
        image.pixelValues.withBytes { digest.update($0) }
        return digest.hexadecimal()
    }

    /// The features `[views, N, D]` in a file, if it holds such.
    private static func read(_ file: URL, views: Int) -> Tensor? {
        guard FileManager.default.fileExists(atPath: file.path),
            let tensor = try? SafetensorsFile(path: file.path).tensors[name], tensor.elementType == .float32,
            tensor.rank == 3, tensor.shape[0] == views, tensor.floats.allSatisfy(\.isFinite)
        else { return nil }
        return tensor
    }

    /// Removes files until the rest is within the limit, those last used first of all; never the one that was just made.
    private func trim(keeping newest: URL) {
        let keys: Set<URLResourceKey> = [.fileSizeKey, .contentModificationDateKey]
        let found =
            (try? FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: Array(keys))) ?? []
        var files = found.filter {
            $0.pathExtension == "safetensors" && $0.lastPathComponent != newest.lastPathComponent
        }
        .compactMap { url -> (url: URL, size: Int, used: Date)? in
            guard let facts = try? url.resourceValues(forKeys: keys), let size = facts.fileSize,
                let used = facts.contentModificationDate
            else { return nil }
            return (url, size, used)
        }.sorted { $0.used > $1.used }
        let own = (try? newest.resourceValues(forKeys: keys).fileSize) ?? 0
        var total = own + files.reduce(0) { $0 + $1.size }
        while total > limit, let oldest = files.popLast() {
            try? FileManager.default.removeItem(at: oldest.url)
            total -= oldest.size
        }
    }
}
