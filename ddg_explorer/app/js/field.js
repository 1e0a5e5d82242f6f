// 2-D field: one byte per cell, coloured here. The bitmap has the grid's size; CSS scales it.

class FieldView {
  constructor(env) {
    this.env = env;
    [this.nx, this.ny] = env.spec.shape;
    this.bytes = null;
    this.gesture = "disk";
  }

  // Rows run from the top, the largest y.
  locate(x, y) {
    const {width, height, spec} = this.env;
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    return [(x / width) * spec.length[0], (1 - y / height) * spec.length[1]];
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

  forget() {}
}
