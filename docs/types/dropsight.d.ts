// Types of the Dropsight result document, made by `python -m inference schema --as typescript`; not to be edited.

/**
 * Where and why a clip could not be read to its end.
 */
export interface BrokenDoc {
  reason: string;
  at_s: number;
  damaged_frames: number;
}

/**
 * cpu_s: of this analysis, seconds; peak_rss_mb: the process's highest so far, MiB; wall_ms: milliseconds.
 */
export interface CostDoc {
  cpu_s: number;
  peak_rss_mb: number | null;
  wall_ms: number;
}

/**
 * How long stays in an area lasted, in seconds; count: how many stays.
 */
export interface DwellDoc {
  count: number;
  mean_s?: number;
  median_s?: number;
  longest_s?: number;
}

/**
 * dim: of the vector; artifact: the .npy file beside the document that holds it.
 */
export interface EmbeddingDoc {
  dim: number;
  artifact?: string;
}

/**
 * What is recorded for media that could not be analysed.
 */
export interface ErrorDoc {
  schema: "dropsight/1";
  source: SourceDoc;
  status: "error";
  error: ReasonDoc;
  trace: string;
  versions: VersionsDoc;
  created: string;
}

/**
 * A line of frames.jsonl. frame: index in the clip, from 0; t_s: when it is shown; predictions: by step.
 */
export interface FrameDoc {
  frame: number;
  t_s: number;
  predictions: Record<string, Array<PredictionDoc>>;
}

/**
 * How many of a step's predictions the route's options left out, by the option: labels, a label's threshold, size,
 * region (also ignore and mask); merged: found under another label of the same new name, too. In a video of all its
 * frames; of a map the labels that lost area.
 */
export interface LeftoutDoc {
  label?: number;
  threshold?: number;
  size?: number;
  region?: number;
  merged?: number;
}

/**
 * The model that ran. provider_asked: the provider that was asked for, where another had to run.
 */
export interface ModelDoc {
  name: string;
  version: string;
  sha256: string;
  provider: string;
  provider_asked?: string;
}

/**
 * How many were inside an area at once. peak: at most, peak_s: when first so many; mean: over the time from the first
 * analysed picture to the last; intervals: with anybody inside, each with start_s, end_s, peak and mean.
 */
export interface OccupancyDoc {
  peak: number;
  peak_s?: number;
  mean: number;
  intervals: Array<Record<string, number>>;
}

/**
 * A label or an object. id: unique in the document (in frames.jsonl: in the line); keypoints: rows of x, y, (z,) score
 * in the order of the step's skeleton; corners: x, y of an oriented box; area: pixels; mask, crop: files beside the
 * document; attributes: by the step's name the predictions of later steps on its crop, and "world", the keypoints as x,
 * y, z in metres.
 */
export interface PredictionDoc {
  id: string;
  label?: string;
  label_id?: number;
  score?: number;
  box?: Array<number>;
  corners?: Array<Array<number>>;
  keypoints?: Array<Array<number>>;
  mask?: string;
  mask_rle?: RleDoc;
  crop?: string;
  area?: number;
  track?: number;
  attributes?: Record<string, Array<PredictionDoc> | Array<Array<number>> | VectorDoc>;
}

/**
 * class: the kind of error; message: what is wrong and what to do; permanent: trying again cannot help.
 */
export interface ReasonDoc {
  class: string;
  message: string;
  permanent: boolean;
}

/**
 * The results of a picture or video. artifacts: files beside the document; trace: W3C trace id; created: UTC. notes:
 * what was assumed or left out while the media was read, a sentence each. blurred: labels whose objects are
 * unrecognisable in all files beside the document, where the upload itself shows them. Members from tracks on: of
 * videos only; sound: what of the clip's sound its videos lack, and why.
 */
export interface ResultDoc {
  schema: "dropsight/1";
  source: SourceDoc;
  route: string;
  status: "ok" | "partial";
  steps: Array<StepDoc>;
  artifacts: Record<string, string>;
  summary: SummaryDoc;
  cost: CostDoc;
  trace: string;
  versions: VersionsDoc;
  created: string;
  notes?: Array<string>;
  blurred?: Array<string>;
  tracks?: Array<TrackDoc>;
  timeline?: Array<TimelineDoc>;
  zones?: Record<string, ZoneDoc>;
  analysed_frames?: number;
  broken?: BrokenDoc;
  sound?: string;
  thumbnails?: Array<string>;
}

/**
 * A mask in COCO's compressed run-length encoding; size is height, width.
 */
export interface RleDoc {
  size: Array<number>;
  counts: string;
}

/**
 * What the keypoints of a step are. name: where it is a known one; points: their names in order; edges: pairs of places
 * in that list that a bone joins.
 */
export interface SkeletonDoc {
  name?: string;
  points: Array<string>;
  edges: Array<Array<number>>;
}

/**
 * The media. width, height: upright, in pixels; orientation: the file's EXIF value; fps: mean frames a second.
 */
export interface SourceDoc {
  container: string;
  name: string;
  etag: string;
  bytes: number;
  media_type: string | null;
  width: number | null;
  height: number | null;
  orientation: number | null;
  duration_s: number | null;
  frames: number | null;
  fps: number | null;
}

/**
 * The results of a step. threshold: the score from which an answer counts on its own; a route may let lower ones
 * through. on: the label whose crops it ran on, where its predictions are attributes. map: a PNG of label ids. notes:
 * what of the model's answer was left out, and why. renamed: what the route calls the model's labels; left_out: what
 * else its options changed.
 */
export interface StepDoc {
  name: string;
  task: string;
  model: ModelDoc;
  threshold: number;
  predictions: Array<PredictionDoc>;
  ms: TimingDoc;
  on?: string;
  skeleton?: SkeletonDoc;
  map?: string;
  notes?: Array<string>;
  renamed?: Record<string, string>;
  left_out?: LeftoutDoc;
  embedding?: EmbeddingDoc;
}

/**
 * What is in the picture or clip, highest first. objects: how many by label (videos: tracks); scene: score by name of
 * the whole that reaches its step's threshold; guesses: the best name of a step whose scores do not.
 */
export interface SummaryDoc {
  objects: Record<string, number>;
  scene: Record<string, number>;
  guesses: Record<string, number>;
}

/**
 * A time range of a clip. kind: track, scene, action, follow, or an event at a zone (enter, exit, cross, dwell,
 * loiter), of which t_s is the time; a later release may add others. vanished: of an exit, that nobody was seen to
 * leave: the clip ended, or the track was lost inside.
 */
export interface TimelineDoc {
  kind: string;
  start_s: number;
  end_s: number;
  id?: number;
  label?: string;
  label_id?: number;
  score?: number;
  step?: string;
  zone?: string;
  track?: number;
  direction?: string;
  t_s?: number;
  vanished?: boolean;
}

/**
 * Milliseconds of a step.
 */
export interface TimingDoc {
  preprocess: number;
  inference: number;
  postprocess: number;
}

/**
 * An object over time. frames: in how many it was seen; score: their mean; speed_mps: metres a second; crop: a file
 * beside the document with its best sight.
 */
export interface TrackDoc {
  id: number;
  label: string;
  start_s: number;
  end_s: number;
  frames: number;
  score: number;
  speed_mps?: number;
  crop?: string;
}

/**
 * An embedding of an object's crop: dim numbers.
 */
export interface VectorDoc {
  dim: number;
  vector: Array<number>;
}

/**
 * What made the document.
 */
export interface VersionsDoc {
  dropsight: string;
  onnxruntime: string;
}

/**
 * What happened at a zone: counts by event in all, and by interval (start_s, end_s, then counts). unique: how many
 * distinct tracks did so; occupancy and dwell: of areas.
 */
export interface ZoneDoc {
  total: Record<string, number>;
  intervals: Array<Record<string, number>>;
  unique?: Record<string, number>;
  occupancy?: OccupancyDoc;
  dwell?: DwellDoc;
}

export type Document = ResultDoc | ErrorDoc;
