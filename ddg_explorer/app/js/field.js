// 2-D field: one byte per cell, coloured here. The bitmap has the grid's size; CSS scales it.

class FieldView {
  constructor(env) {
    this.env = env;
    [this.nx, this.ny] = env.spec.shape;
    this.bytes = null;
  }

  absorb(header, buffer, offset) {
    if (buffer.byteLength - offset >= this.nx * this.ny) {
      this.bytes = new Uint8Array(buffer, offset, this.nx * this.ny);
    }
  }

  size(width) {
    const w = Math.min(width, this.env.maxField);
    return [w, Math.round((w * this.ny) / this.nx)];
  }

  paint() {
    const {canvas, ctx, table} = this.env;
    if (canvas.width !== this.nx || canvas.height !== this.ny) {
      canvas.width = this.nx;
      canvas.height = this.ny;
      this.image = null;
    }
    if (!this.image) {
      this.image = ctx.createImageData(this.nx, this.ny);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    if (!this.bytes) return;
    const {pixels, bytes} = this;
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[bytes[i]];
    ctx.putImageData(this.image, 0, 0);
  }

  // Data units of a pixel; cells lie around their grid points.
  place(px, py) {
    const {width, height, spec} = this.env;
    if (px < 0 || py < 0 || px >= width || py >= height) return null;
    return [(px / width * this.nx - 0.5) * spec.length[0] / this.nx,
      ((1 - py / height) * this.ny - 0.5) * spec.length[1] / this.ny];
  }

  forget() {}
}
