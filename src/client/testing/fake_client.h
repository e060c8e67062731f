// FakeClient: a tiny API server in memory, for tests of everything written against Client. It keeps
// objects with uids, resource versions, generations, finalizers and graceful deletion, serves
// list and watch with selectors, carries out subresources, and records every call. It does not
// default, validate or authorize.
//
// Faults are injected per verb and resource; watches can be broken and history forgotten.
// One loop's thread only. The client outlives its watches.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"

namespace keles {

struct FakeCall {
  std::string verb;               // "get", "list", "watch", "create", "update", "patch", "delete"
  std::string resource;           // "pods", "deployments.apps", with a subresource "pods/binding"
  std::string ns, name;           // the name of what was made, for a create that generates one
  DocumentPtr body;               // of a write
  std::string to_string() const;  // "create pods default/x"
};

class FakeClient final : public Client {
 public:
  explicit FakeClient(Loop& loop);
  ~FakeClient() override;

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

  // --- what a test sees and does, without waiting and without being recorded ---

  // Creates or replaces as a user of unlimited power; the kind is the body's own apiVersion and
  // kind. Metadata that the body leaves out (uid, resourceVersion, creationTimestamp) is made.
  ObjectPtr put(Document body);
  ObjectPtr put(const KindDesc& kind, Document body);
  ObjectPtr put_yaml(std::string_view yaml);  // or JSON; aborts on text that is not an object
  ObjectPtr now(const KindDesc& kind, std::string_view ns, std::string_view name) const;
  std::vector<ObjectPtr> all(const KindDesc& kind, std::string_view ns = {}) const;
  // Takes it away at once, finalizers and grace notwithstanding.
  void drop(const KindDesc& kind, std::string_view ns, std::string_view name);
  template <class T>
  Ref<T> now(std::string_view ns, std::string_view name) const {
    return read<T>(now(kind_of<T>(), ns, name));
  }
  template <class T>
  std::vector<Ref<T>> all(std::string_view ns = {}) const {
    std::vector<Ref<T>> out;
    for (const ObjectPtr& o : all(kind_of<T>(), ns)) out.push_back(read<T>(o));
    return out;
  }

  const std::vector<FakeCall>& calls() const { return calls_; }
  void clear_calls() { calls_.clear(); }
  // Writes only, as text: "create pods default/web-abcde".
  std::vector<std::string> writes() const;
  int64_t revision() const { return revision_; }

  // Creations for which `answer` has something to say are answered with it and not stored: the
  // reviews (TokenReview, SubjectAccessReview).
  using Answer = std::function<std::optional<Document>(const KindDesc&, const Value& body)>;
  void answer_creates(Answer answer) { answer_ = std::move(answer); }

  // --- faults ---

  // The next `times` calls of this verb and resource fail and do nothing. "*" matches any.
  void fail(std::string verb, std::string resource, Status status, int times = 1);
  // The next `times` such writes are carried out, and reported as kOutcomeUnknown.
  void lose_reply(std::string verb, std::string resource, int times = 1);
  // Every call takes this long (of the loop's time) before it is carried out.
  void set_latency(Duration d) { latency_ = d; }
  // Ends every open watch with `why`.
  void break_watches(Status why);
  // Forgets the history: watches and lists from an older revision report kExpired.
  void compact();
  // Sent to every watch that asked for them.
  void send_bookmarks();

 private:
  class WatchImpl;
  struct Event {
    WatchEvent::Type type;
    ObjectPtr object, before;
    int64_t revision;
  };
  struct Fault {
    std::string verb, resource;
    Status status;
    int times;
    bool after;  // carry out, then lose the reply
  };
  using Objects = std::map<std::string, ObjectPtr, std::less<>>;

  Task<Status> begin(Context ctx, FakeCall* call, bool* lose);
  ObjectPtr store(const KindDesc& kind, Document doc, const ObjectPtr& before);
  ObjectPtr erase(const ObjectPtr& before);
  void emit(Event e);
  Result<ObjectPtr> do_create(const KindDesc& kind, const std::string& ns, Document body,
                              std::string* made);
  Result<ObjectPtr> do_update(const KindDesc& kind, const std::string& ns, const std::string& name,
                              Document body, const std::string& subresource);
  Result<ObjectPtr> do_remove(const KindDesc& kind, const std::string& ns, const std::string& name,
                              const DeleteOptions& options);
  Result<ObjectPtr> do_subresource_create(const KindDesc& kind, const std::string& ns,
                                          const std::string& name, const Document& body,
                                          const std::string& subresource);
  ObjectPtr find(const KindDesc& kind, std::string_view ns, std::string_view name) const;
  std::string timestamp() const;

  Loop& loop_;
  Duration latency_{0};
  int64_t revision_ = 1;
  std::map<std::string, Objects, std::less<>> objects_;  // by group_resource
  std::deque<std::shared_ptr<const Event>> events_;
  int64_t compacted_ = 0;
  std::vector<WatchImpl*> watches_;
  std::vector<FakeCall> calls_;
  std::vector<Fault> faults_;
  Answer answer_;
};

}  // namespace keles
