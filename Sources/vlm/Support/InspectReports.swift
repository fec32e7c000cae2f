import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import MQT
import NeuralNetwork
import PMoD
import Tensors
import Tokenization
import VisionEncoder

/// Rows of a name and a text, the texts one below the other.
private func table(_ rows: [(String, String?)]) -> String {
    rows.compactMap { name, text in
        text.map { name.padding(toLength: 18, withPad: " ", startingAt: 0) + $0 }
    }.joined(separator: "\n")
}

/// A number of bytes for a person, in units of 1024.
private func readable(_ bytes: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (Double(bytes), 0)
    while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
    return unit == 0 ? "\(bytes) B" : String(format: "%.1f %@", value, units[unit])
}

/// What the files of a checkpoint hold.
struct CheckpointReport: Encodable {
    struct File: Encodable {
        var name: String
        var format: String
        var bytes: Int
        var tensors: Int
        var ignoredBecause: String?
    }

    var path: String
    var layout: String
    var files: [File]
    var parameters: Int
    var bytesByType: [String: Int]

    init(_ checkpoint: CheckpointDirectory) {
        path = checkpoint.path
        layout = "\(checkpoint.layout)"
        files = checkpoint.files.map { file in
            var reason: String?
            if case .ignored(let why) = file.use { reason = why }
            return File(
                name: file.name, format: "\(file.format)", bytes: file.byteCount, tensors: file.tensorCount,
                ignoredBecause: reason)
        }
        parameters = checkpoint.tensors.values.reduce(0) { $0 + $1.count }
        bytesByType = checkpoint.tensors.values.reduce(into: [:]) {
            $0[$1.elementType.rawValue, default: 0] += $1.byteCount
        }
    }

    var text: String {
        let types = bytesByType.sorted { $0.key < $1.key }.map { "\(readable($0.value)) as \($0.key)" }
        let names = files.map { file in
            file.ignoredBecause.map { "\(file.name) (not read: \($0))" }
                ?? "\(file.name) (\(file.format), \(file.tensors) tensors, \(readable(file.bytes)))"
        }
        return table([
            ("checkpoint", path), ("layout", layout),
            ("files", names.joined(separator: "\n" + String(repeating: " ", count: 18))),
            ("parameters", "\(parameters): \(types.joined(separator: ", "))"),
        ])
    }
}

/// The parts of a model that was loaded.
struct ModelReport: Encodable {
    struct Tower: Encodable {
        var blocks: Int
        var hiddenSize: Int
        var heads: Int
        var imageSize: Int
        var patchSize: Int
        var patches: Int
        var hiddenState: Int
        var preprocessing: String
    }

    struct Decoder: Encodable {
        var layers: Int
        var hiddenSize: Int
        var heads: Int
        var keyValueHeads: Int
        var vocabulary: Int
        var positions: Int
        var kvBytesPerToken: Int
    }

    var isUntrained: Bool
    var visionTower: Tower?
    var connector: String?
    var maximumVisualTokens: Int?
    var decoder: Decoder
    /// Share of the visual tokens that each layer processes; 1 for plain layers.
    var retentionRatios: [Double]?
    var weightNorm: String?
    var tokenizer: String
    var template: String?
    private var schedule: String?

    init(_ model: LLaVAModel) {
        let llama = model.config.llama
        isUntrained = model.config.isUntrained
        decoder = Decoder(
            layers: llama.numHiddenLayers, hiddenSize: llama.hiddenSize, heads: llama.numAttentionHeads,
            keyValueHeads: llama.numKeyValueHeads, vocabulary: llama.vocabSize, positions: llama.maxPositionEmbeddings,
            kvBytesPerToken: 2 * llama.numHiddenLayers * llama.numKeyValueHeads * llama.headSize * 4)
        if let vision = model.vision {
            let config = vision.tower.config
            visionTower = Tower(
                blocks: config.numHiddenLayers, hiddenSize: config.hiddenSize, heads: config.numAttentionHeads,
                imageSize: vision.imageProcessor.cropSize.width, patchSize: config.patchSize,
                patches: vision.grid.count,
                hiddenState: vision.hiddenStateIndex, preprocessing: vision.imageProcessing.description)
            switch vision.connector {
            case .queryTransformer: connector = "Matryoshka query transformer"
            case .projector: connector = "projector \(model.config.mmProjectorType)"
            }
        }
        maximumVisualTokens = model.maximumVisualTokens
        if let pmod = model.config.pmod {
            let ratios = pmod.retentionRatios(layerCount: llama.numHiddenLayers)
            retentionRatios = ratios.map { $0 ?? 1 }
            weightNorm = pmod.modWeightNorm.description
            schedule = ratios.indices.filter { ratios[$0] != nil }
                .map { "\($0): \(Int(((ratios[$0] ?? 1) * 100).rounded())) %" }.joined(separator: ", ")
        }
        do {
            let assistant = try Assistant(model)
            tokenizer = assistant.tokenizer.summary
            template = "\(assistant.template.template.name): \(assistant.template.reason)"
        } catch {
            tokenizer = "none: \(error)"
        }
    }

    private enum CodingKeys: String, CodingKey {
        case isUntrained, visionTower, connector, maximumVisualTokens, decoder, retentionRatios, weightNorm, tokenizer
        case template
    }

    var text: String {
        let tower = visionTower.map {
            "\($0.blocks) blocks of \($0.hiddenSize), \($0.heads) heads, patches of \($0.patchSize) in \($0.imageSize) pixels "
                + "(\($0.patches)); features are hidden state \($0.hiddenState)"
        }
        let budget = maximumVisualTokens.map { "; any budget of 1...\($0) visual tokens for each view" } ?? ""
        let llama =
            "\(decoder.layers) layers of \(decoder.hiddenSize), \(decoder.heads) heads on \(decoder.keyValueHeads) key/value "
            + "heads, \(decoder.vocabulary) tokens, \(decoder.positions) positions"
        return table([
            ("vision tower", tower ?? "none: text only"), ("images", visionTower?.preprocessing),
            ("connector", connector.map { $0 + budget }), ("decoder", llama),
            ("mixture of depths", schedule.map { "layers keep \($0) of the visual tokens (\(weightNorm ?? ""))" }),
            ("KV cache", "\(readable(decoder.kvBytesPerToken)) a token in all layers, float32"),
            ("tokenizer", tokenizer), ("template", template),
            ("note", isUntrained ? "random weights: answers mean nothing" : nil),
        ])
    }
}

extension WeightNorm {
    /// The norm as config.json spells it, in full.
    var description: String { "\(function.rawValue)_\(scale)_\(bias)" }
}

/// What an image file holds, and what a model sees of it.
struct ImageReport: Encodable {
    var path: String
    var format: String
    var mode: String
    var bitDepth: Int
    var storedWidth: Int
    var storedHeight: Int
    var width: Int
    var height: Int
    var exifOrientation: Int?
    var isOrientationApplied: Bool
    var warnings: Int
    var preprocessing: String?
    /// Views, channels, height and width of the pixel values.
    var pixelValuesShape: [Int]?
    var tilesAcross: Int?
    var tilesDown: Int?

    init(_ path: String, _ image: RGBImage, _ information: ImageInformation, _ seen: ProcessedImage?) {
        self.path = path
        format = information.format.rawValue
        mode = information.mode.rawValue
        bitDepth = information.bitDepth
        storedWidth = information.storedSize.width
        storedHeight = information.storedSize.height
        width = image.width
        height = image.height
        exifOrientation = information.exifOrientation?.rawValue
        isOrientationApplied = information.isOrientationApplied
        warnings = information.warningCount
        preprocessing = seen?.mode.description
        pixelValuesShape = seen?.pixelValues.shape
        tilesAcross = seen?.grid.width
        tilesDown = seen?.grid.height
    }

    var text: String {
        let orientation = exifOrientation.map { "\($0), \(isOrientationApplied ? "applied" : "not applied")" }
        let views = pixelValuesShape.map { shape in
            "\(shape[0]) view(s) of \(shape[3]) x \(shape[2])"
                + (shape[0] > 1 ? ": the whole image and \(tilesAcross ?? 1) x \(tilesDown ?? 1) tiles" : "")
        }
        return table([
            ("image", path), ("format", "\(format), \(mode), \(bitDepth) bit"), ("size", "\(width) x \(height)"),
            ("EXIF orientation", orientation), ("flaws", warnings > 0 ? "\(warnings), passed over" : nil),
            ("model sees", views.map { "\($0) (\(preprocessing ?? ""))" }),
        ])
    }
}
