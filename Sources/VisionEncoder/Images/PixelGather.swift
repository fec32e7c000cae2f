import CKernels
import Tensors

extension RGBImage {
    /// The part of the picture inside `region`.
    public func cropped(to region: ImageRegion) -> RGBImage {
        precondition(!region.rows.isEmpty && !region.columns.isEmpty, "an empty region")
        precondition(
            region.rows.lowerBound >= 0 && region.rows.upperBound <= height, "rows \(region.rows) of \(height)")
        precondition(
            region.columns.lowerBound >= 0 && region.columns.upperBound <= width,
            "columns \(region.columns) of \(width)")
        if region.size == size { return self }
        return gathering(
            region.size, from: region.rows.lowerBound * width + region.columns.lowerBound, rowStep: width,
            columnStep: 1)
    }

    /// The picture turned upright, if its pixels are stored in `orientation`.
    public func turned(_ orientation: EXIFOrientation) -> RGBImage {
        let last = (height - 1) * width  // the first pixel of the last row
        let turned = orientation.swapsSides ? ImageSize(width: height, height: width) : size
        func from(_ start: Int, _ rowStep: Int, _ columnStep: Int) -> RGBImage {
            gathering(turned, from: start, rowStep: rowStep, columnStep: columnStep)
        }
        return switch orientation {
        case .upright: self
        case .mirrorLeftRight: from(width - 1, width, -1)
        case .rotate180: from(last + width - 1, -width, -1)
        case .mirrorTopBottom: from(last, -width, 1)
        case .transpose: from(0, 1, width)
        case .rotate90Clockwise: from(last, 1, -width)
        case .transverse: from(last + width - 1, -1, -width)
        case .rotate90CounterClockwise: from(width - 1, -1, width)
        }
    }

    /// A picture whose pixel (row, column) is stored pixel `start + row rowStep + column columnStep` of this one.
    private func gathering(_ size: ImageSize, from start: Int, rowStep: Int, columnStep: Int) -> RGBImage {
        let result = [UInt8](unsafeUninitializedCapacity: size.area * 3) { output, count in
            pixels.withUnsafeBufferPointer { input in
                forRowBands(of: size.height) { first, end in
                    vlm_gather_pixels(
                        input.baseAddress, Int64(start), Int64(rowStep), Int64(columnStep), Int64(size.width),
                        Int64(first), Int64(end), output.baseAddress)
                }
            }
            count = size.area * 3
        }
        return RGBImage(width: size.width, height: size.height, pixels: result)
    }
}

/// Calls `body` with consecutive ranges of `rows` rows, in parallel on the current pool.
func forRowBands(of rows: Int, _ body: (_ first: Int, _ end: Int) -> Void) {
    let band = 16
    ComputeContext.current.pool.run((rows + band - 1) / band) { index in
        body(index * band, min((index + 1) * band, rows))
    }
}
