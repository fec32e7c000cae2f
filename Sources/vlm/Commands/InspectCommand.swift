import ArgumentParser
import Evaluation
import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import VisionEncoder

/// `vlm inspect`: what a checkpoint holds, or what a model will see of an image.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Say what a checkpoint holds, or what a model will see of an image.",
        discussion: """
            EXAMPLES
              vlm inspect DIR                            # parts, layout, parameters, schedule
              vlm inspect DIR --tensors                  # every tensor
              vlm inspect DIR --plot schedule.svg        # what the number of visual tokens decides
              vlm inspect photo.jpg --model DIR --out seen.png
            """)

    @OptionGroup var model: ModelOptions

    @Argument(
        help: ArgumentHelp("A model's directory, a file of weights, or an image.", valueName: "path"),
        completion: .file())
    var path: String

    @Flag(help: "List every tensor of a checkpoint.")
    var tensors = false

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Ignore the orientation that a photo's EXIF data states.")
    var noExif = false

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Write what the model sees of an image as a PNG.", valueName: "file"),
        completion: .file())
    var out: String?

    @Option(
        help: ArgumentHelp(
            "Draw what layers keep of the visual tokens, and operations and cache entries by their number, as SVG.",
            valueName: "file"), completion: .file())
    var plot: String?

    func validate() throws {
        guard model.quantize == nil else {
            throw ValidationError("--quantize is about computing; inspect shows weights as they are stored")
        }
    }

    func run() throws {
        try model.context.run {
            if try Self.isImage(path) {
                guard !tensors, plot == nil else {
                    throw UsageError.message("--tensors and --plot are about a checkpoint; \(path) is an image")
                }
                try inspectImage()
            } else {
                guard out == nil, !noExif, model.model == nil else {
                    throw UsageError.message("--out, --no-exif and --model are for images; \(path) is not one")
                }
                try inspectModel()
                if let plot { try draw(to: plot) }
            }
        }
    }

    private static func isImage(_ path: String) throws -> Bool {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
            return false
        }
        let start = try MemoryMappedFile(path: path).withBytes { bytes in
            bytes.extracting(first: 64).withUnsafeBytes { Array($0) }
        }
        return ImageFormat(signatureOf: start).isSupported
    }

    private func inspectModel() throws {
        if AssembledModel.isAssembled(path), !tensors {
            let report = try ModelReport(LLaVAModel.load(from: path, options: model.loadOptions))
            if json { try Terminal.json(InspectReport(checkpoint: nil, model: report)) } else { print(report.text) }
            return
        }
        let checkpoint = try CheckpointDirectory(path: path)
        if tensors { return try list(checkpoint.tensors) }
        // What the files say comes first, so that it is seen even if the model cannot be built from them.
        let files = CheckpointReport(checkpoint)
        if !json { print(files.text) }
        let isModel: Bool =
            switch checkpoint.layout {
            case .llava, .llama: !checkpoint.tensors.isEmpty
            case .gguf(let architecture?): GGUFCheckpoint.decoders.contains(architecture) && !checkpoint.tensors.isEmpty
            default: false
            }
        let report = isModel ? try ModelReport(LLaVAModel.load(from: path, options: model.loadOptions)) : nil
        if json {
            try Terminal.json(InspectReport(checkpoint: files, model: report))
        } else if let report {
            print(report.text)
        }
    }

    private func draw(to file: String) throws {
        let plots = BudgetPlots(try LLaVAModel.load(from: path, options: model.loadOptions))
        guard let svg = plots.svg else { throw LLaVAError.textOnly(checkpoint: path) }
        try AtomicFile(path: file).write { try $0.write(contentsOf: Data(svg.utf8)) }
        Terminal.note("wrote \(file)")
    }

    private func list(_ tensors: [String: Tensor]) throws {
        let rows = tensors.sorted { $0.key.compare($1.key, options: .numeric) == .orderedAscending }
        if json {
            return try Terminal.json(rows.map { TensorReport(name: $0.key, $0.value) })
        }
        for (name, tensor) in rows { print("\(name)  \(tensor.elementType.rawValue)  \(tensor.shape)") }
    }

    private func inspectImage() throws {
        let orientation = noExif ? OrientationPolicy.asStored : .applyEXIF
        let (image, information) = try RGBImage.decode(contentsOf: path, orientation: orientation)
        var seen: ProcessedImage?
        if let directory = model.model ?? ProcessInfo.processInfo.environment["VLM_MODEL"], !directory.isEmpty {
            let llava = try LLaVAModel.load(from: directory, options: model.loadOptions)
            let processed = try llava.process(image)
            seen = processed
            if let out, let vision = llava.vision {
                let picture = SeenPicture.picture(of: processed, processor: vision.imageProcessor)
                try Data(picture.pngBytes()).write(to: URL(filePath: out), options: .atomic)
                Terminal.note("wrote \(picture.size) pixels to \(out)")
            }
        } else if out != nil {
            throw UsageError.message("--out shows what a model sees; say which with --model DIR")
        }
        let report = ImageReport(path, image, information, seen)
        if json { try Terminal.json(report) } else { print(report.text) }
    }
}

/// One row of `--tensors --json`.
private struct TensorReport: Encodable {
    var name: String
    var dtype: String
    var shape: [Int]

    init(name: String, _ tensor: Tensor) {
        self.name = name
        dtype = tensor.elementType.rawValue
        shape = tensor.shape
    }
}

/// What `vlm inspect DIR --json` prints.
private struct InspectReport: Encodable {
    /// Nil for a model assembled from parts.
    var checkpoint: CheckpointReport?
    var model: ModelReport?
}
