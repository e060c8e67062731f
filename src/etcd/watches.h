// Watches: each call of Watch is a stream with any number of watches. One that keeps up is told
// of each batch as it becomes durable; one whose reader is slow, or that begins in the past, reads
// the disk in pieces until it has caught up, and is held in no memory meanwhile. Who asks and does
// not read its answers is not listened to until it does.
//
// One loop's thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "etcd/mvcc.h"
#include "etcd/requests.h"
#include "net/grpc_calls.h"

namespace keles::etcdserver {

class Watches {
 public:
  struct Options {
    Options() = default;
    size_t max_message = 2u << 20;    // of events, where the watcher takes fragments
    size_t max_waiting = 4u << 20;    // bytes of a stream, beyond which it is read from the disk
    size_t max_watches = 10'000;      // of a stream
    Duration progress_every = 10min;  // of watches that asked for it and were told of nothing
  };
  // `header(revision)` is an answer's first field.
  using HeaderOf = std::function<std::string(int64_t revision)>;
  Watches(const Mvcc& mvcc, const Disk& disk, Options options, HeaderOf header)
      : mvcc_(mvcc), disk_(disk), options_(options), header_(std::move(header)) {}
  Watches(const Watches&) = delete;

  // Mvcc's hook.
  void told(const std::vector<EventPtr>& events, int64_t revision);
  // Serves one call to its end.
  Task<Status> serve(Context ctx, net::GrpcCall* call);
  size_t count() const;

 private:
  struct Watch {
    std::string from, to;
    int64_t id = 0, next = 0;  // the first revision that it was not told of
    bool previous = false, fragments = false, progress = false, no_put = false, no_delete = false;
    bool keeps_up = true;
    TimePoint last;
    KeyRange keys() const {
      KeyRange k;
      k.from = from;
      k.to = to;
      return k;
    }
    bool wants(const Event& e) const {
      return e.at.main >= next && !(e.deleted ? no_delete : no_put) && keys().has(e.key);
    }
  };
  struct Stream;
  std::string to_wire(const Watch& w, const Event& e) const;
  void put_events(Stream& s, Watch& w, const std::vector<EventPtr>& events, int64_t revision);
  Status handle(Stream& s, const std::string& message, TimePoint now);
  void create(Stream& s, const WatchRequest& request, TimePoint now);
  void end_watch(Stream& s, int64_t id, std::string_view why, int64_t compacted);
  Status catch_up(Stream& s, Watch& w);
  Task<void> write_out(Context ctx, Stream* s, net::GrpcCall* call);
  void progress(Stream& s, TimePoint now);

  const Mvcc& mvcc_;
  const Disk& disk_;
  const Options options_;
  const HeaderOf header_;
  std::set<Stream*> streams_;
};

}  // namespace keles::etcdserver
