// The simulated network between components and the API server, and the client that goes over it.
//
// A ServerProcess is one life of the API server: its in-process client and the Context that ends
// with it. A FaultyClient is what a component is given: it finds the server of the moment, and on
// the way delays, loses and doubles messages, loses replies, breaks watches and serves stale lists,
// as the Network's faults say. All chance comes from the loop. One loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/sync.h"
#include "client/client.h"

namespace keles::sim {

struct NetworkFaults {
  Duration delay_min = 50us, delay_max = 2ms;
  double slow = 0;  // chance of a delay of up to slow_max
  Duration slow_max = 2s;
  double drop_request = 0;  // it never arrives; the sender's patience ends
  double lose_reply = 0;    // it was carried out; the sender never learns how it went
  double duplicate = 0;     // idempotent requests (update, delete) arrive a second time, later
  double break_watch = 0;   // per event: the stream ends half-way
  double stale_list = 0;    // a list "at any version" is answered from an older one
  Duration patience = 10s;
};

// One life of the API server.
struct ServerProcess {
  Client* client = nullptr;
  Context ctx;
  int calls = 0;  // under way
  struct OpenWatch {
    std::unique_ptr<Watch> watch;
    bool in_next = false;
  };
  std::vector<std::weak_ptr<OpenWatch>> watches;
  explicit ServerProcess(Client* c, Context context) : client(c), ctx(std::move(context)) {}
  // After ctx has ended and calls has come to 0: takes the watches away, so that the server itself
  // can go.
  void release_watches();
};

struct Network {
  NetworkFaults faults;
  std::shared_ptr<ServerProcess> server;         // null while it is down
  std::map<std::string, ListResult> last_lists;  // what stale answers are made of
  // Told of what must never happen: a watch that goes back.
  std::function<void(std::string)> violation;
};

// A component's own line; cut when the component dies or is partitioned.
struct Line {
  std::string name;
  bool cut = false;
};

class FaultyClient final : public Client {
 public:
  FaultyClient(Loop& loop, Network* network, std::shared_ptr<Line> line)
      : loop_(loop), network_(network), line_(std::move(line)) {}

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override;
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override;
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override;
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override;
  Loop& loop() override { return loop_; }
  using Client::create;
  using Client::get;
  using Client::list;
  using Client::remove;
  using Client::update;

 private:
  enum class Verb : uint8_t { kRead, kWrite, kIdempotentWrite };
  template <class R>
  using Call = std::function<Task<Result<R>>(Client*, Context)>;
  template <class R>
  Task<Result<R>> send(Context ctx, Verb verb, Call<R> call);
  Duration delay();

  Loop& loop_;
  Network* network_;
  std::shared_ptr<Line> line_;
};

}  // namespace keles::sim
