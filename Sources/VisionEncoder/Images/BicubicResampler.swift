import CKernels

extension RGBImage {
    /// The picture at another size, as Pillow 10's `resize(size, BICUBIC)`, to the byte.
    ///
    /// Complexity: O(height · newWidth · max(4, 4 · width / newWidth)) plus the same for the columns.
    public func resized(to size: ImageSize) -> RGBImage {
        resized(to: size, keeping: ImageRegion(allOf: size))
    }

    /// The part `region` of what `resized(to: size)` gives. Only what the part needs is computed, so `size` may be
    /// larger than any picture that fits in memory.
    public func resized(to size: ImageSize, keeping region: ImageRegion) -> RGBImage {
        precondition(size.width > 0 && size.height > 0, "\(size) pixels")
        precondition(region.rows.lowerBound >= 0 && region.rows.upperBound <= size.height, "rows \(region.rows)")
        precondition(region.columns.lowerBound >= 0 && region.columns.upperBound <= size.width, "\(region.columns)")
        // A pass that changes nothing is skipped, as in Pillow.
        let across = width == size.width ? nil : BicubicTaps(from: width, to: size.width, keeping: region.columns)
        let down = height == size.height ? nil : BicubicTaps(from: height, to: size.height, keeping: region.rows)
        let rows = down?.inputs ?? region.rows

        let strip =
            across.map { horizontally($0, rows: rows) }
            ?? cropped(to: ImageRegion(rows: rows, columns: region.columns))
        return down.map { strip.vertically($0, firstRow: rows.lowerBound) } ?? strip
    }

    /// Rows `rows` of the picture, resampled from left to right.
    private func horizontally(_ taps: BicubicTaps, rows: Range<Int>) -> RGBImage {
        let columns = taps.first.count
        let strip = [UInt8](unsafeUninitializedCapacity: rows.count * columns * 3) { output, count in
            pixels.withUnsafeBufferPointer { input in
                taps.withUnsafeTaps { table in
                    let start = input.baseAddress.map { $0 + rows.lowerBound * width * 3 }
                    forRowBands(of: rows.count) { first, end in
                        withUnsafePointer(to: table) {
                            vlm_resample_horizontal(
                                $0, start, Int64(width), Int64(first), Int64(end), output.baseAddress)
                        }
                    }
                }
            }
            count = rows.count * columns * 3
        }
        return RGBImage(width: columns, height: rows.count, pixels: strip)
    }

    /// The picture resampled from top to bottom; its first row is row `firstRow` of what the taps count.
    private func vertically(_ taps: BicubicTaps, firstRow: Int) -> RGBImage {
        let rows = taps.first.count
        let taps = taps.shifted(by: -firstRow)
        let result = [UInt8](unsafeUninitializedCapacity: rows * width * 3) { output, count in
            pixels.withUnsafeBufferPointer { input in
                taps.withUnsafeTaps { table in
                    forRowBands(of: rows) { first, end in
                        withUnsafePointer(to: table) {
                            vlm_resample_vertical(
                                $0, input.baseAddress, Int64(width), Int64(first), Int64(end), output.baseAddress)
                        }
                    }
                }
            }
            count = rows * width * 3
        }
        return RGBImage(width: width, height: rows, pixels: result)
    }
}

extension BicubicTaps {
    /// The table as the C kernels take it.
    fileprivate func withUnsafeTaps(_ body: (vlm_resample_taps) -> Void) {
        first.withUnsafeBufferPointer { first in
            count.withUnsafeBufferPointer { count in
                weights.withUnsafeBufferPointer { weights in
                    body(
                        vlm_resample_taps(
                            outputs: Int64(first.count), stride: Int64(stride), first: first.baseAddress,
                            count: count.baseAddress, weights: weights.baseAddress))
                }
            }
        }
    }
}
