/// Where the middle of a picture lies, as transformers' `center_crop` finds it.
///
/// Along a side that is shorter than the crop the picture is put in the middle of zeros, the odd one before it. So do
/// transformers since they mended it; 4.36 returns one pixel less than the crop when the difference is odd, which no
/// vision tower takes. In all other cases both agree.
struct CenterCrop: Equatable {
    /// The part of the picture that is kept.
    let region: ImageRegion
    /// Where its upper left corner lies in the crop.
    let x: Int, y: Int

    init(_ crop: ImageSize, of size: ImageSize) {
        let (columns, x) = Self.along(crop.width, of: size.width)
        let (rows, y) = Self.along(crop.height, of: size.height)
        self.region = ImageRegion(rows: rows, columns: columns)
        (self.x, self.y) = (x, y)
    }

    private static func along(_ crop: Int, of extent: Int) -> (Range<Int>, Int) {
        guard extent < crop else {
            let start = (extent - crop) / 2
            return (start..<start + crop, 0)
        }
        return (0..<extent, (crop - extent + 1) / 2)
    }
}
