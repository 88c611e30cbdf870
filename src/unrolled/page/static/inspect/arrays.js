// Arrays from the server: float32, little-endian, row by row, in base64.

export class Grid {
  constructor({ shape, float32 }) {
    const bytes = Uint8Array.from(atob(float32), (sign) => sign.charCodeAt(0));
    [this.rows, this.columns] = shape;
    this.data = new Float32Array(bytes.buffer);
  }

  at(row, column) {
    return this.data[row * this.columns + column];
  }

  row(row) {
    return this.data.subarray(row * this.columns, (row + 1) * this.columns);
  }

  column(column) {
    return Float32Array.from({ length: this.rows }, (_, row) => this.at(row, column));
  }
}

/** The value below which a share of the values lies. */
export function quantile(values, share) {
  const sorted = Float32Array.from(values).filter(Number.isFinite).sort();
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : 0;
}
