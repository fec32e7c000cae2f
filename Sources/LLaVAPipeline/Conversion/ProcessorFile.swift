import Foundation
import VisionEncoder

/// `preprocessor_config.json` as Hugging Face writes it, with the steps that a processor takes.
struct ProcessorFile: Encodable {
    static let name = "preprocessor_config.json"

    // The type of DINOv2's files, which takes the steps that are named, as CLIP's does.
    let imageProcessorType = "BitImageProcessor"
    let doConvertRgb = true
    let doResize: Bool
    let size: [String: Int]
    let resample = 3
    let doCenterCrop: Bool
    let cropSize: [String: Int]
    let doRescale: Bool
    let rescaleFactor: Double
    let doNormalize: Bool
    let imageMean, imageStd: [Double]

    init(_ processor: CLIPImageProcessor) {
        switch processor.size {
        case .shortestEdge(let edge): size = ["shortest_edge": edge]
        case .exact(let exact): size = ["height": exact.height, "width": exact.width]
        }
        cropSize = ["height": processor.cropSize.height, "width": processor.cropSize.width]
        (doResize, doCenterCrop) = (processor.doResize, processor.doCenterCrop)
        (doRescale, rescaleFactor) = (processor.doRescale, processor.rescaleFactor)
        (doNormalize, imageMean, imageStd) = (processor.doNormalize, processor.imageMean, processor.imageStd)
    }

    /// The file's contents.
    var data: Data { get throws { try JSONEncoder.huggingFace.encode(self) } }
}

extension JSONEncoder {
    /// Writes files as Hugging Face spells them.
    static var huggingFace: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return encoder
    }
}
