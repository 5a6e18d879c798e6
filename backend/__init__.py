"""The product behind both faces: domain model, life-cycle, engine, store, jobs and drivers."""
