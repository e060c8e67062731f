#include "etcd/watches.h"

#include <algorithm>
#include <utility>

#include "etcd/errors.h"
#include "etcd/requests.h"

namespace keles::etcdserver {
namespace {

constexpr size_t kPieceStates = 2000;  // that a watch reads from the disk at once
constexpr int64_t kNoWatch = -1;
// Answers to requests that may wait for their reader; no more is read of the stream meanwhile, as
// etcd does (ctrlStreamBufLen).
constexpr size_t kMostAnswers = 16;

}  // namespace

struct Watches::Stream {
  std::map<int64_t, Watch> watches;
  int64_t last_id = 0;
  struct Message {
    std::string text;
    bool answer;  // to a request, else events
  };
  std::deque<Message> out;
  size_t bytes = 0, answers = 0;  // of `out`
  bool progress_asked = false;
  keles::Event work, room;

  void put(std::string text, bool answer) {
    bytes += text.size();
    answers += answer ? 1 : 0;
    out.push_back({std::move(text), answer});
    work.set();
  }
  std::string take() {
    Message first = std::move(out.front());
    out.pop_front();
    bytes -= first.text.size();
    answers -= first.answer ? 1 : 0;
    room.set();
    return std::move(first.text);
  }
};

size_t Watches::count() const {
  size_t n = 0;
  for (const Stream* s : streams_) n += s->watches.size();
  return n;
}

std::string Watches::to_wire(const Watch& w, const Event& e) const {
  std::string event;
  put_int(event, 1, e.deleted ? 1 : 0);
  put_message(event, 2, e.kv);
  if (w.previous && !e.previous.empty()) put_message(event, 3, e.previous);
  return event;
}

// Events that it wants, as answers of `revision`, up to which it then has been told. An answer
// holds whole revisions unless the watch takes fragments.
void Watches::put_events(Stream& s, Watch& w, const std::vector<EventPtr>& events,
                         int64_t revision) {
  std::string body;
  auto flush = [&](bool fragment) {
    std::string out = header_(revision);
    put_int(out, 2, w.id);
    put_int(out, 7, fragment ? 1 : 0);
    out += body;
    body.clear();
    s.put(std::move(out), false);
  };
  for (const EventPtr& e : events) {
    if (!w.wants(*e)) continue;
    std::string event = to_wire(w, *e);
    if (w.fragments && !body.empty() && body.size() + event.size() > options_.max_message)
      flush(true);
    put_message(body, 11, event);
  }
  if (!body.empty()) flush(false);
  w.next = std::max(w.next, revision + 1);
}

void Watches::told(const std::vector<EventPtr>& events, int64_t revision) {
  for (Stream* s : streams_) {
    for (auto& [id, w] : s->watches) {
      if (!w.keeps_up) continue;
      const size_t before = s->bytes;
      if (before > options_.max_waiting) {
        w.keeps_up = false;  // from `next` on it reads what lies on the disk
        s->work.set();
        continue;
      }
      put_events(*s, w, events, revision);
      if (s->bytes != before && !events.empty()) w.last = TimePoint();
    }
  }
}

void Watches::end_watch(Stream& s, int64_t id, std::string_view why, int64_t compacted) {
  std::string out = header_(mvcc_.durable());
  put_int(out, 2, id);
  put_int(out, 4, 1);
  put_int(out, 5, compacted);
  put_bytes(out, 6, why);
  s.put(std::move(out), true);
  s.watches.erase(id);
}

void Watches::create(Stream& s, const WatchRequest& r, TimePoint now) {
  Watch w;
  w.from = r.keys.from.empty() ? std::string("\0", 1) : std::string(r.keys.from);
  w.to = r.keys.to;
  w.previous = r.previous;
  w.fragments = r.fragments;
  w.progress = r.progress;
  w.no_put = r.no_put;
  w.no_delete = r.no_delete;
  w.last = now;
  std::string_view refused;
  const bool chosen = r.id != 0;
  if (chosen && s.watches.count(r.id) != 0)
    refused = "mvcc: duplicate watch ID provided on the WatchStream";
  if (!w.keys().single() && !w.keys().open() && w.to <= w.from)
    refused = "mvcc: watcher range is empty";
  if (s.watches.size() >= options_.max_watches) refused = "etcdserver: too many watches";
  while (!chosen && s.watches.count(s.last_id) != 0) ++s.last_id;
  w.id = !refused.empty() ? kNoWatch : chosen ? r.id : s.last_id++;
  const int64_t now_at = mvcc_.durable();
  w.next = r.start > 0 ? r.start : now_at + 1;
  w.keeps_up = w.next > now_at;

  std::string out = header_(now_at);
  put_int(out, 2, w.id);
  put_int(out, 3, 1);
  if (!refused.empty()) {
    put_int(out, 4, 1);
    put_bytes(out, 6, refused);
  }
  s.put(std::move(out), true);
  if (refused.empty()) s.watches.emplace(w.id, std::move(w));
}

Status Watches::handle(Stream& s, const std::string& message, TimePoint now) {
  TRY_ASSIGN(r, parse_watch(message));
  switch (r.kind) {
    case WatchRequest::Kind::kCreate:
      create(s, r, now);
      break;
    case WatchRequest::Kind::kCancel:
      if (s.watches.count(r.id) != 0) end_watch(s, r.id, "", 0);
      break;
    case WatchRequest::Kind::kProgress:
      s.progress_asked = true;
      s.work.set();
      break;
    default:
      break;
  }
  return Status();
}

// The next piece of what a watch has not been told of.
Status Watches::catch_up(Stream& s, Watch& w) {
  if (w.next < mvcc_.compacted()) {
    end_watch(s, w.id, "", mvcc_.compacted());
    return Status();
  }
  const int64_t until = mvcc_.durable();
  std::vector<EventPtr> events;
  size_t bytes = 0, seen = 0;
  int64_t whole = until, last = 0;  // every event up to `whole` is in the piece
  TRY(disk_.scan(kKeys, revision_key(Revision{w.next, 0}, false),
                 [&](std::string_view key, std::string_view value) {
                   auto at = parse_revision_key(key);
                   if (!at || at->at.main > until) return false;
                   const bool enough = seen >= kPieceStates || bytes > options_.max_message;
                   if (enough && std::exchange(last, at->at.main) != at->at.main) {
                     whole = at->at.main - 1;
                     return false;
                   }
                   last = at->at.main;
                   ++seen;
                   auto kv = decode(value);
                   if (!kv.ok()) return true;  // what cannot be read is told when it is asked for
                   auto e = std::make_shared<Event>();
                   e->deleted = at->deleted;
                   e->at = at->at;
                   e->key = kv->key;
                   if (!w.wants(*e)) return true;
                   e->kv = value;
                   if (e->deleted) put_int(e->kv, 3, e->at.main);
                   bytes += value.size();
                   events.push_back(std::move(e));
                   return true;
                 }));
  if (w.previous) {
    for (EventPtr& e : events) {
      const Version* before = mvcc_.index().at(e->key, e->at.main - 1);
      if (before == nullptr) continue;
      auto stored = mvcc_.stored(before->at);
      if (!stored.ok()) continue;
      auto with = std::make_shared<Event>(*e);
      with->previous = std::move(*stored);
      e = std::move(with);
    }
  }
  put_events(s, w, events, whole);
  w.keeps_up = w.next > mvcc_.durable();
  return Status();
}

void Watches::progress(Stream& s, TimePoint now) {
  const bool level = std::all_of(s.watches.begin(), s.watches.end(),
                                 [](const auto& w) { return w.second.keeps_up; });
  if (s.progress_asked && level) {
    s.progress_asked = false;
    std::string out = header_(mvcc_.durable());
    put_int(out, 2, kNoWatch);
    s.put(std::move(out), true);
  }
  for (auto& [id, w] : s.watches) {
    if (w.last == TimePoint()) w.last = now;
    if (!w.progress || !w.keeps_up || now - w.last < options_.progress_every) continue;
    w.last = now;
    std::string out = header_(mvcc_.durable());
    put_int(out, 2, w.id);
    s.put(std::move(out), false);
  }
}

// Writes what waits; when nothing does, reads on for those that are behind.
Task<void> Watches::write_out(Context ctx, Stream* s, net::GrpcCall* call) {
  for (;;) {
    while (!s->out.empty()) {
      std::string message = s->take();
      Status sent = co_await call->send(std::move(message));
      if (!sent.ok()) {
        ctx.cancel(sent);
        co_return;
      }
    }
    auto behind = std::find_if(s->watches.begin(), s->watches.end(),
                               [](const auto& w) { return !w.second.keeps_up; });
    if (behind != s->watches.end()) {
      Status read = catch_up(*s, behind->second);
      if (!read.ok()) {
        ctx.cancel(read);
        co_return;
      }
      co_await yield_to(ctx.loop());  // others' turns, however much is behind
      continue;
    }
    progress(*s, ctx.loop().now());
    if (!s->out.empty()) continue;
    s->work.reset();
    Context soon = ctx.with_timeout(std::min<Duration>(options_.progress_every, 1min));
    (void)co_await s->work.wait(soon);
    if (ctx.done()) co_return;
  }
}

Task<Status> Watches::serve(Context ctx, net::GrpcCall* call) {
  Stream stream;
  streams_.insert(&stream);
  Context until = ctx.child();
  TaskGroup writer(ctx.loop());
  writer.spawn(write_out(until, &stream, call));
  Status end;
  for (;;) {
    auto message = co_await call->receive(until);
    if (!message.ok()) {
      end = until.done() ? until.status() : message.status();
      break;
    }
    if (!*message) {  // nothing more is asked for; what was is told on
      keles::Event never;
      end = co_await never.wait(until);
      break;
    }
    end = handle(stream, **message, ctx.loop().now());
    while (end.ok() && stream.answers >= kMostAnswers) {
      stream.room.reset();
      end = co_await stream.room.wait(until);
    }
    if (!end.ok()) break;
  }
  until.cancel();
  streams_.erase(&stream);
  co_await writer.join();
  co_return end;
}

}  // namespace keles::etcdserver
