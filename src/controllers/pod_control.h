// The pods that a controller makes and deletes for their owner, with upstream's events
// (k8s.io/kubernetes/pkg/controller, RealPodControl). What was expected of a write is settled when
// it failed for good and will never be seen: by the owner's uid. One loop; the three that it is
// made of outlive it.
#pragma once

#include <string>

#include "api/core_v1.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "client/expectations.h"
#include "controllers/ownership.h"

namespace keles::controllers {

class PodControl {
 public:
  PodControl(Client& client, EventRecorder& events, Expectations& expectations)
      : client_(client), events_(events), expectations_(expectations) {}

  template <class O>
  Task<Status> create(Context ctx, const Ref<O>& owner, Document body) {
    return create_for(ctx, reference_to(owner), std::string(owner->metadata().uid()),
                      std::move(body));
  }
  template <class O>
  Task<Status> remove(Context ctx, const Ref<O>& owner, Ref<api::core_v1::Pod> pod) {
    return remove_for(ctx, reference_to(owner), std::string(owner->metadata().uid()),
                      std::move(pod));
  }

 private:
  Task<Status> create_for(Context ctx, ObjectReference owner, std::string uid, Document body);
  Task<Status> remove_for(Context ctx, ObjectReference owner, std::string uid,
                          Ref<api::core_v1::Pod> pod);
  Client& client_;
  EventRecorder& events_;
  Expectations& expectations_;
};

}  // namespace keles::controllers
