import Bytes
import ModelFiles
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct ImageGoldenTests {
    @Test("pictures are decoded, resized, padded and tiled as by Pillow and the published processors")
    func pictures() throws {
        let stage = try GoldenStage("image")
        let report = GoldenReport(stage)
        let small = try #require(stage.manifest["extra"]?["small_size"]?.int)
        let pictures = try #require(try stage.json("images.json").object)
        var paths: [String: String] = [:]
        for path in stage.files(ofKind: "image") {
            let name = String(path.split(separator: "/").last ?? "")
            if let key = pictures[name]?["key"]?.string { paths[key] = path }
        }
        for file in stage.files(ofKind: "data") {
            let data = try report.data(file)
            for (key, path) in paths.sorted(by: { $0.key < $1.key }) {
                let name = String(path.split(separator: "/").last ?? "")
                let picture = Picture(
                    key: key, record: try #require(pictures[name]), path: stage.path(path), file: file)
                try compare(picture, data, small: small, report)
            }
            try tiles(stage, data, paths, small: small, report, file)
        }
        for file in stage.files(ofKind: "json") { try arithmetic(stage.json(file), report) }
        report.finish()
    }

    private struct Picture {
        var key: String
        var record: JSONValue
        var path: String
        var file: String
    }

    private func compare(
        _ picture: Picture, _ data: [String: Tensor], small: Int, _ report: GoldenReport
    ) throws {
        let (key, file) = (picture.key, picture.file)
        let (image, information) = try RGBImage.decode(contentsOf: picture.path)
        report.checkEqual("\(key) width", image.width, picture.record["width"]?.int)
        report.checkEqual("\(key) height", image.height, picture.record["height"]?.int)
        let stride = picture.record["rgb_stride"]?.int ?? 1
        // Where the set records both, Pillow clips 16-bit gray and we scale it; its later stages start from Pillow's.
        var source = image
        if data[key + ".rgb_scaled"] != nil, let clipped = data[key + ".rgb"] {
            try report.check(file, key + ".rgb_scaled", image.bytesHWC(every: stride))
            report.input(file, key + ".rgb")
            source = RGBImage(width: clipped.shape[1], height: clipped.shape[0], pixels: clipped.bytes)
        } else {
            try report.check(file, key + ".rgb", image.bytesHWC(every: stride))
            if information.format == .png {
                report.checkEqual("\(key) pixels", sha256(image.pixels), picture.record["rgb_sha256"]?.string)
            }
        }

        // `square`, `pad`, `square336_u8_s3`...: mode, side (none: the small one), bytes or floats, every how manieth.
        for name in data.keys.sorted() where name.hasPrefix(key + ".") {
            let rest = name.dropFirst(key.count + 1)
            guard let match = rest.wholeMatch(of: /(square|pad)(\d+)?(_u8)?(?:_s(\d+))?/) else { continue }
            let processor = CLIPImageProcessor.golden(side: match.2.flatMap { Int($0) } ?? small)
            let step = match.4.flatMap { Int($0) } ?? 1
            if match.3 != nil {
                let seen = try processor.cropped(match.1 == "pad" ? source.paddedToSquare(processor.padColor) : source)
                let got = seen.bytesCHW(every: step)
                try report.check(file, name, got)
                // A lossless file leaves no room: the bytes must be equal whatever the tolerance.
                if information.format == .png {
                    report.checkEqual("\(name) bytes", got.bytes == data[name]?.bytes, true)
                }
            } else {
                let mode: ImageProcessing = match.1 == "pad" ? .pad : .square
                try report.check(file, name, mode(source, with: processor).pixelValues.subsampled(by: step))
            }
        }
        for (name, record) in picture.record.object ?? [:] {
            guard let match = name.wholeMatch(of: /(\d+)_(square|pad)/), let side = Int(match.1),
                information.format == .png
            else { continue }
            let processor = CLIPImageProcessor.golden(side: side)
            let seen = try processor.cropped(match.2 == "pad" ? source.paddedToSquare(processor.padColor) : source)
            report.checkEqual("\(key) \(name)", sha256(seen.bytesCHW(every: 1).bytes), record["u8_sha256"]?.string)
        }
        if let resized = picture.record["resized_size"]?.array?.compactMap(\.int), resized.count == 2 {
            let size = CLIPImageProcessor.golden(side: small).resizedSize(of: image.size)
            report.checkEqual("\(key) resized size", [size.width, size.height], resized)
        }
    }

    /// LLaVA-NeXT's views of the pictures for which they are recorded.
    private func tiles(
        _ stage: GoldenStage, _ data: [String: Tensor], _ paths: [String: String], small: Int, _ report: GoldenReport,
        _ file: String
    ) throws {
        for json in try stage.files(ofKind: "json").map(stage.json) {
            guard let images = json["small_images"]?.object else { continue }
            let pinpoints = try #require(json["small_pinpoints_w_h"]?.array).compactMap(\.imageSize)
            let choice = try AnyResolution(pinpoints: pinpoints, tileSide: small)
            for (key, record) in images {
                let image = try RGBImage(contentsOf: stage.path(try #require(paths[key])))
                report.checkEqual(
                    "\(key) resolution", choice.bestResolution(for: image.size), record["best_resolution"]?.imageSize)
                report.checkEqual("\(key) padded", sha256(choice.padded(image).pixels), record["padded_sha256"]?.string)
                let processed = try ImageProcessing.anyResolution(pinpoints: pinpoints)(
                    image, with: .golden(side: small))
                report.checkEqual("\(key) grid", processed.grid, record["grid_w_h"]?.imageSize)
                report.checkEqual("\(key) views", processed.pixelValues.shape[0] - 1, record["tiles"]?.int)
                try report.check(file, key + ".anyres", processed.pixelValues)
            }
        }
    }

    private func arithmetic(_ json: JSONValue, _ report: GoldenReport) throws {
        for entry in json["arithmetic"]?.array ?? [] {
            let name = try #require(entry["pinpoints"]?.string)
            let pinpoints = try #require(json["released_pinpoints_w_h"]?[name]?.array).compactMap(\.imageSize)
            let side = try #require(pinpoints.map { min($0.width, $0.height) }.min())
            let choice = try AnyResolution(pinpoints: pinpoints, tileSide: side)
            let size = ImageSize(width: try #require(entry["w"]?.int), height: try #require(entry["h"]?.int))
            let grid = choice.grid(for: size)
            let feature = try #require(entry["feature_hw"]?.array).compactMap(\.int)
            let patches = feature[0] / grid.height
            let map = choice.featureMapSize(for: size, patchesPerSide: patches)
            let kept = choice.keptMapSize(for: size, patchesPerSide: patches)
            let label = "\(size) among \(name)"
            report.checkEqual(label + " best", choice.bestResolution(for: size), entry["best"]?.imageSize)
            report.checkEqual(label + " grid", grid, entry["grid_w_h"]?.imageSize)
            report.checkEqual(label + " map", [map.height, map.width], feature)
            report.checkEqual(
                label + " kept", [kept.height, kept.width], entry["unpadded_hw"]?.array?.compactMap(\.int))
            report.checkEqual(
                label + " tokens", choice.imageTokenCount(for: size, patchesPerSide: patches),
                entry["image_tokens"]?.int)
        }
    }
}

extension CLIPImageProcessor {
    /// CLIP's processor at another side.
    fileprivate static func golden(side: Int) -> CLIPImageProcessor {
        var processor = CLIPImageProcessor()
        processor.size = .shortestEdge(side)
        processor.cropSize = ImageSize(width: side, height: side)
        return processor
    }
}

extension JSONValue {
    /// A pair of width and height.
    fileprivate var imageSize: ImageSize? {
        guard let pair = array?.compactMap(\.int), pair.count == 2 else { return nil }
        return ImageSize(width: pair[0], height: pair[1])
    }
}

extension RGBImage {
    /// Every `step`-th row and column as `[H, W, 3]`.
    fileprivate func bytesHWC(every step: Int) -> Tensor {
        let (rows, columns) = (
            Array(Swift.stride(from: 0, to: height, by: step)), Array(Swift.stride(from: 0, to: width, by: step))
        )
        let bytes = rows.flatMap { y in columns.flatMap { x in (0..<3).map { pixels[(y * width + x) * 3 + $0] } } }
        return Tensor(copying: bytes, shape: [rows.count, columns.count, 3], elementType: .uint8)
    }

    /// Every `step`-th row and column as `[3, H, W]`.
    fileprivate func bytesCHW(every step: Int) -> Tensor {
        let (rows, columns) = (
            Array(Swift.stride(from: 0, to: height, by: step)), Array(Swift.stride(from: 0, to: width, by: step))
        )
        let bytes = (0..<3).flatMap { c in rows.flatMap { y in columns.map { pixels[(y * width + $0) * 3 + c] } } }
        return Tensor(copying: bytes, shape: [3, rows.count, columns.count], elementType: .uint8)
    }
}
