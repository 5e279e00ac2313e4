// Azurite for tens of thousands of blobs, loaded into its node before it. What it stores and answers stays as it is.

const constants = require("azurite/dist/src/blob/utils/constants");
const { Resultset } = require("lokijs");

// It looks for unreferenced data every ten minutes, and stands still meanwhile, with so much for longer than that.
constants.DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;

// It asks for blobs by account first, by which nothing is narrowed down: by name, an index finds them at once.
const find = Resultset.prototype.find;
Resultset.prototype.find = function (query, ...rest) {
  const isByName = query && typeof query.name === "string" && Object.keys(query)[0] !== "name";
  return find.call(this, isByName ? { name: query.name, ...query } : query, ...rest);
};
