// What a message brings, decoded: the picture, its layers, the objects of each, and its heats.

async function decodePicture({ header, bytes }) {
  const read = async (part) => (part ? decodePng(bytes(part)) : null);
  const bitmap = await decodeImage(header.image, bytes);
  const layers = await Promise.all(
    header.layers.map(async (layer) => ({
      ...layer,
      ...(await read(layer.mask)),
      confidence: await read(layer.confidence),
      instances: await read(layer.instances),
    })),
  );
  const heats = await Promise.all((header.heats ?? []).map(async (heat) => ({ ...heat, ...(await read(heat.values)) })));
  const [first] = [...layers, ...heats];
  for (const layer of [...layers, ...heats]) {
    if (layer.width !== first.width || layer.height !== first.height) throw new Error("its masks differ in size");
    if (layer.instances) {
      layer.instances.table = instanceTable(layer.instances);
      layer.instances.across = header.width / layer.width;
    }
  }
  const { width, height } = header;
  const picture = { bitmap, width, height, maskWidth: first?.width ?? width, maskHeight: first?.height ?? height };
  return { picture, layers, heats };
}

function decodeImage(part, bytes) {
  return createImageBitmap(new Blob([bytes(part)], { type: part.type }));
}
