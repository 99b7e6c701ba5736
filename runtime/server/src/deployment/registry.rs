//! All deployments, by name and by route.

use super::Deployment;
use crate::spec::DeploymentName;
use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use parking_lot::Mutex;
use samovar_core::route::Routes;
use std::sync::Arc;

/// All deployments, by name and by route.
#[derive(Default)]
pub struct Deployments {
    by_name: DashMap<DeploymentName, Arc<Deployment>>,
    routes: ArcSwap<Routes<Arc<Deployment>>>,
    /// Held while routes are made, or of two changes at once one could be lost.
    routing: Mutex<()>,
}

impl Deployments {
    /// The routes of this moment.
    pub fn routes(&self) -> Guard<Arc<Routes<Arc<Deployment>>>> {
        self.routes.load()
    }

    /// One deployment.
    pub fn get(&self, name: &DeploymentName) -> Option<Arc<Deployment>> {
        self.by_name.get(name).map(|entry| Arc::clone(entry.value()))
    }

    /// All deployments, by name.
    pub fn list(&self) -> Vec<Arc<Deployment>> {
        let mut list: Vec<_> = self.by_name.iter().map(|entry| Arc::clone(entry.value())).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Adds a new deployment and its route.
    pub fn add(&self, deployment: Arc<Deployment>) {
        let route = deployment.live().spec.route.clone();
        self.by_name.insert(deployment.name.clone(), Arc::clone(&deployment));
        let _routing = self.routing.lock();
        self.routes.store(Arc::new(self.routes.load().with(&route, deployment)));
    }

    /// Adds deployments, then routes to all of them.
    pub fn insert(&self, deployments: impl IntoIterator<Item = Arc<Deployment>>) {
        for deployment in deployments {
            self.by_name.insert(deployment.name.clone(), deployment);
        }
        self.reroute();
    }

    /// Takes one away.
    pub fn remove(&self, name: &DeploymentName) {
        self.by_name.remove(name);
        self.reroute();
    }

    /// Makes the routes anew, after a deployment or its route changed.
    pub fn reroute(&self) {
        let _routing = self.routing.lock();
        let routes = Routes::new(
            self.list()
                .into_iter()
                .map(|deployment| (deployment.live().spec.route.clone(), deployment)),
        );
        self.routes.store(Arc::new(routes));
    }
}
